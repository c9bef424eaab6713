# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Kubernetes' pods in containerd, by ``namespace/pod``, or by the ID of the pod or of a container in it.

All containers of a pod share its network namespace, and containerd keeps a file for that which is there as long as the
pod: no process has to be found. It is asked through ctr, which comes with it; CRI-O has none.
"""
from __future__ import annotations

import json
import os
import re
import typing as t

from .._core.errors import PipeworkError
from .._host import answers as host_answers
from .._host import program
from .._model.container import (
    GONE,
    Ambiguous,
    Answer,
    Found,
    NotRunning,
    Unavailable,
    Who,
    open_namespace,
    resolve,
    unread,
)
from . import containerd, netns

SPACE = "k8s.io"
DEFAULT = "default"
KIND = "io.cri-containerd.kind"  # containerd's label
POD, PODS_SPACE = "io.kubernetes.pod.name", "io.kubernetes.pod.namespace"  # the kubelet's
SANDBOX = "io.kubernetes.cri.sandbox-id"
NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
SCHEME = "containerd://"  # as kubectl shows IDs of containers
Container = dict[str, t.Any]


def installed(user: str | None) -> bool:
    """Worth asking where Kubernetes has been used since the host started."""
    tasks = os.path.join(os.path.dirname(containerd.socket()), "io.containerd.runtime.v2.task", SPACE)
    return user is None and os.path.isdir(tasks) and program.which("ctr") is not None


def find_many(wanted: list[Who], _patience: float = 0.0) -> list[Answer]:
    answers: list[Answer] = []
    for name, user in wanted:
        try:
            if user is not None:
                raise PipeworkError("runtime_user: cri has no use for it.")
            answers.append(_find(str(name)))
        except PipeworkError as error:
            answers.append(error)
    return answers


def running(_user: str | None) -> list[str]:
    try:
        return _list(f'labels."{KIND}"==sandbox') if SPACE in _spaces() else []
    except Unavailable as error:
        raise Unavailable(f"runtime: {error}") from None


def _spaces() -> list[str]:
    return containerd.ctr("namespaces", "list", "--quiet").split()


def _list(*filters: str) -> list[str]:
    return containerd.ctr(f"--namespace={SPACE}", "containers", "list", "--quiet", *filters).split()


def _info(ident: str) -> Container | None:
    try:
        found = host_answers.parse(containerd.ctr(f"--namespace={SPACE}", "containers", "info", ident))
    except ValueError:
        found = None
    return found if isinstance(found, dict) and isinstance(found.get("Labels"), dict) else None


def _find(name: str) -> Found | None:
    if SPACE not in _spaces():
        return None
    pods = _named(name)
    if pods:
        return _running(name, pods, exact=True)
    short = name[len(SCHEME):] if name.startswith(SCHEME) else name
    idents = _list() if re.fullmatch("[0-9a-f]{1,64}", short) else []
    ident = resolve({}, {each: each for each in idents}, short)
    return _running(name, [_pod_of(ident)], exact=ident == short) if ident else None


def _named(name: str) -> list[str]:
    """The IDs of the pods of a name: one, and those that it had before it was started anew."""
    space, slash, base = name.rpartition("/")
    space = space if slash else DEFAULT
    if not (NAME.fullmatch(space) and NAME.fullmatch(base)):
        return []
    asked = ((KIND, "sandbox"), (PODS_SPACE, space), (POD, base))
    return _list(",".join(f'labels."{label}"=={json.dumps(value)}' for label, value in asked))


def _pod_of(ident: str) -> str:
    """The pod that a container is in; a pod is in itself."""
    annotations = ((_info(ident) or {}).get("Spec") or {}).get("annotations") or {}
    return str(annotations.get(SANDBOX) or ident)


def _running(name: str, idents: list[str], exact: bool) -> Found | None:
    """The one of a name's pods that runs."""
    found: list[Found] = []
    resting: list[str] = []
    for ident in idents:
        info = _info(ident)
        if info is None:
            continue  # it has gone since
        shown = _shown(info["Labels"]) or ident
        try:
            path = _path(info)
            fd = open_namespace(path)
            found.append(Found("cri", shown, ident, netns.held(path, fd), exact=exact))
        except OSError as problem:
            if not isinstance(problem, GONE) and problem.errno not in netns.NO_NAMESPACE:
                raise unread(path, problem) from None
            resting.append(shown)
    if len(found) > 1:
        for each in found:
            os.close(each.fd)
        listed = ", ".join(each.ident[:12] for each in found)
        raise Ambiguous(f"container: Found more than one container matching {name}: {listed}; use one of these IDs.")
    if found:
        return found[0]
    if not resting:
        return None
    error = NotRunning(f"container: the pod {resting[0]!r} is not running, so it has no network namespace.")
    error.exact, error.known_as = exact, resting[0]
    raise error


def _shown(labels: t.Mapping[str, str]) -> str | None:
    space, name = labels.get(PODS_SPACE), labels.get(POD)
    return f"{space}/{name}" if name and space != DEFAULT else name


def _path(info: Container) -> str:
    """The file of a pod's network namespace; the host's own where the pod has none."""
    spaces = ((info.get("Spec") or {}).get("linux") or {}).get("namespaces") or ()
    paths = [each.get("path") or "" for each in spaces if each.get("type") == "network"]
    return paths[0] if paths else "/proc/self/ns/net"
