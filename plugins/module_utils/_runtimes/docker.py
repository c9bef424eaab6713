# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Docker's containers, by name, ID or short ID, through Docker's SDK."""
from __future__ import annotations

import concurrent.futures
import os
import time
import typing as t

from .._errors import PipeworkError
from . import Found, NoContainer, NotRunning, Unavailable, open_namespace

SOCKET = "/var/run/docker.sock"
START_SECONDS = 3.0  # how long a container that is just starting is waited for
THREADS = 8

_clients: dict[str | None, t.Any] = {}


def installed(user: str | None) -> bool:
    return bool(os.environ.get("DOCKER_HOST")) or os.path.exists(_socket(user))


def find(name: str, user: str | None) -> Found | None:
    return _find(name, user, time.monotonic() + START_SECONDS)


def find_many(wanted: list[tuple[str, str | None]]) -> list[Found | PipeworkError]:
    """Many at once: the engine takes a millisecond or two for each, and waits do not add up."""
    deadline = time.monotonic() + START_SECONDS

    def one(who: tuple[str, str | None]) -> Found | PipeworkError:
        try:
            found = _find(*who, deadline)
        except PipeworkError as error:
            return error
        return found or NoContainer(f"container: docker knows no container {who[0]!r}. 'docker ps' shows the names.")

    for user in {user for _name, user in wanted}:
        try:
            _client(user)
        except PipeworkError as error:
            return [error] * len(wanted)
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(one, wanted))


def running(user: str | None) -> list[str]:
    if not installed(user):
        return []
    return [container["Id"] for container in _client(user).containers()]


def _socket(user: str | None) -> str:
    if user is None:
        return SOCKET
    import pwd

    try:
        return f"/run/user/{pwd.getpwnam(user).pw_uid}/docker.sock"
    except KeyError:
        raise PipeworkError(f"runtime_user: there is no user {user!r}.") from None


def _client(user: str | None) -> t.Any:
    if user not in _clients:
        try:
            import docker
        except ImportError as error:
            import sys

            raise Unavailable(
                f"The Python library docker is missing for {sys.executable} on the managed host: it comes with the package "
                f"python3-docker or by 'pip install docker'. ({error})"
            ) from None
        url = f"unix://{_socket(user)}" if user else os.environ.get("DOCKER_HOST", f"unix://{SOCKET}")
        try:
            client = docker.APIClient(base_url=url, version="auto", timeout=60)
        except Exception as error:  # pylint: disable=broad-except  # the SDK raises what its HTTP library raises
            raise Unavailable(f"Docker does not answer at {url}: {error}. Is the engine running?") from None
        _clients[user] = client
    return _clients[user]


def _inspect(client: t.Any, name: str) -> dict[str, t.Any] | None:
    import docker.errors

    if not name or "/" in name.lstrip("/") or name in (".", ".."):
        return None
    try:
        return dict(client.inspect_container(name))
    except docker.errors.NotFound:
        candidates = _by_prefix(client, name)
    except docker.errors.APIError as error:
        candidates = _by_prefix(client, name)
        if not candidates:
            raise Unavailable(f"Docker cannot say what {name!r} is: {error.explanation or error}.") from None
    except Exception as error:  # pylint: disable=broad-except
        raise Unavailable(f"Docker does not answer: {error}.") from None
    if len(candidates) > 1:
        raise PipeworkError(f"Found more than one container matching {name}: {', '.join(candidates)}. Use a longer ID or the name.")
    return None


def _by_prefix(client: t.Any, name: str) -> list[str]:
    """The containers whose ID starts so; the engine itself only says that there are several, or none."""
    if len(name) < 1 or any(c not in "0123456789abcdef" for c in name):
        return []
    return sorted(f"{c['Names'][0].lstrip('/')} ({c['Id'][:12]})" for c in client.containers(all=True) if c["Id"].startswith(name))


def _find(name: str, user: str | None, deadline: float) -> Found | None:
    client = _client(user)
    info = _inspect(client, name)
    while info is not None:
        state, shown = info["State"], info["Name"].lstrip("/")
        if state.get("Pid"):
            found = _enter(client, info, shown)
            if found is not None:
                return found
        elif state.get("Status") not in ("created", "restarting") or time.monotonic() > deadline:
            raise NotRunning(
                f"container: {shown!r} is {state.get('Status', 'not running')} in docker, so it has no network namespace; "
                f"start it first ('docker start {shown}')."
            )
        else:
            time.sleep(0.05)
        info = _inspect(client, name)
    return None


def _enter(client: t.Any, info: dict[str, t.Any], shown: str) -> Found | None:
    """Opens the namespace, and asks again: were the PID another process's by now, the container would not run under it still."""
    try:
        fd = open_namespace(f"/proc/{info['State']['Pid']}/ns/net")
    except OSError:
        fd = -1
    again = _inspect(client, info["Id"])
    facts = ("Pid", "StartedAt", "Running")
    if again is not None and all(again["State"].get(f) == info["State"].get(f) for f in facts):
        if fd >= 0:
            return Found("docker", shown, info["Id"], fd)
        if again["State"].get("Running"):
            raise Unavailable(
                f"container: process {info['State']['Pid']} of docker's container {shown!r} is not on this machine; "
                "the module has to run on the engine's own host, as root."
            )
    if fd >= 0:
        os.close(fd)
    return None
