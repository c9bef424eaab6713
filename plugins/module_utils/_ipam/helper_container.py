# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Has a helper container ask a DHCP server: one of Docker's, from a local image, in the network namespace of another.

It may not configure anything there, is told as little as a program of the host, and is gone when it has an answer.
"""
from __future__ import annotations

import contextlib
import io
import tarfile
import typing as t

from .._attach.options import Attachment
from .._core.errors import PipeworkError
from .._runtimes import docker
from . import dhcp4_message as dhcp
from .dhcp4_grant import Helper
from .external import CLIENTS, DOCKER, FOLDER, HOOK_TEXT, IN_IMAGES, SAID, Ask
from .external_client import Listener, Said, environment_of, last_words

RUN = f"{FOLDER}/run"
# The program's own limit comes first; this one is for a program that has none.
RUN_TEXT = """#!/bin/sh
# Runs a DHCP client for a time. What its hook says of a lease is the output of this, the rest goes to stderr.
limit=$1
shift
command -v "$1" >/dev/null || exit 127
"$@" >&2 &
program=$!
(sleep "$limit"; kill -9 "$program") >/dev/null 2>&1 &
wait "$program"
exit 0
"""
RIGHTS = ("NET_RAW", "NET_BIND_SERVICE")  # of all that a container usually has; NET_ADMIN is none of them
LONGER = 10  # seconds that a program may take beyond those for which it asks


def check(item: Attachment, runtime: str, user: str | None) -> None:
    """Refuses an attachment whose helper container cannot be, before anything is done."""
    if item.state != "present" or item.dhcp != DOCKER:
        return
    if runtime != "docker":
        raise item.refuse(
            f"dhcp: a helper container of Docker cannot share the namespace of one of {runtime}; builtin can ask there."
        )
    if not docker.has_image(item.dhcp_image, user):
        raise item.refuse(
            f"dhcp_image: Docker has no image {item.dhcp_image!r} on the managed host, and none is fetched; "
            f"'docker pull' fetches it, or 'builtin' needs none."
        )


def run(helper: Helper, ask: Ask, listener: Listener) -> tuple[str, Said]:
    """One exchange, by the first client that the image has; its name, and what came of it."""
    for name in IN_IMAGES:
        client = CLIENTS[name]
        files = {RUN: RUN_TEXT, client.hook: HOOK_TEXT, **client.files(ask)}
        words = (str(ask.seconds + LONGER), name, *client.argv(ask))
        output, errors = bytearray(), bytearray()
        stream = docker.run_beside(
            helper.container, helper.user, helper.image, _archive(files), [RUN, *words], RIGHTS,
            ask.seconds + LONGER,
        )
        with contextlib.closing(stream):
            for said, worse in stream:
                output += said or b""
                errors += worse or b""
                listener.hear()
        listener.hear()
        lines = errors.decode("utf-8", "replace").splitlines()
        if output or lines or listener.sent[dhcp.DISCOVER]:
            return name, Said(environment_of(bytes(output)), last_words(client, lines))
    raise PipeworkError(f"dhcp_image: {helper.image!r} has none of the programs {', '.join(IN_IMAGES)}.")


def _archive(files: t.Mapping[str, str]) -> bytes:
    """Files to be put into a container, and what stands where the hook writes: the output of the first process."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(text.encode()), 0o755
            archive.addfile(entry, io.BytesIO(text.encode()))
        link = tarfile.TarInfo(SAID.lstrip("/"))
        link.type, link.linkname = tarfile.SYMTYPE, "/proc/1/fd/1"
        archive.addfile(link)
    return data.getvalue()
