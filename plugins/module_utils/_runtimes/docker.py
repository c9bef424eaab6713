# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Docker's containers, by name, ID or short ID, through Docker's SDK."""
from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import re
import sys
import time
import typing as t

from .._core.errors import PipeworkError
from .._host import answers as host_answers
from .._host import program, trust
from .._model.container import Answer, Found, NotRunning, Unavailable, Who, resolve
from . import podman
from .pid import enter, in_group, status

SOCKET = "/var/run/docker.sock"
SECONDS = 60  # for one answer
POLL_SECONDS = 0.05
BIRTH_SECONDS = 30.0  # a container's process is this much older, at most, than the start that the engine reports
TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)")

IDENT = re.compile("[0-9a-f]{64}")
NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_.-]*")

_clients: dict[str | None, t.Any] = {}
_owners: dict[str | None, int] = {}  # whose engines they are; root's unless somebody else's answered


def installed(user: str | None) -> bool:
    """A user's engine counts as installed, so that the one who names the user hears what is wrong with it.

    Not so where it is Podman that the user has, or that serves the socket.
    """
    if user is not None:
        return not podman.installed(user) or os.path.exists(_path(user))
    if os.environ.get("DOCKER_HOST"):
        return True
    return os.path.exists(SOCKET) and os.path.basename(os.path.realpath(SOCKET)) != "podman.sock"


def find_many(wanted: list[Who], patience: float = 0.0) -> list[Answer]:
    """Many at once: one list of all containers, and an inspection of each that is meant."""
    deadline = time.monotonic() + patience
    answers: dict[Who, Answer] = {}
    for user in dict.fromkeys(user for _name, user in wanted):
        names = [str(name) for name, owner in wanted if owner == user]
        try:
            client = _client(user)
            listing = _list(client)
            for name in names:
                try:
                    answers[name, user] = _find(client, listing, name, user, deadline)
                except Unavailable:
                    raise
                except PipeworkError as error:
                    answers[name, user] = error
        except PipeworkError as error:
            answers.update({(name, user): error for name in names if (name, user) not in answers})
    return [answers[who] for who in wanted]


def running(user: str | None) -> list[str]:
    try:
        return list(_list(_client(user), every=False).names) if installed(user) else []
    except Unavailable as error:
        raise Unavailable(f"runtime: {error}") from None


def watch(_names: t.Sequence[str], user: str | None, tell: t.Callable[[], None]) -> None:
    """Listens to the engine's own events, on a connection of its own."""
    client = _connect(user)
    since = int(time.time()) - 1  # those of the past do no harm
    filters = {"type": "container", "event": ["start"]}
    stream = _call(client.events, since=since, filters=filters)
    tell()
    for _event in stream:
        tell()


# -- the engine

def _path(user: str) -> str:
    return f"/run/user/{program.uid_of(user)}/docker.sock"


def _socket(user: str | None) -> str:
    if user is None:
        return SOCKET
    path = _path(user)
    if not os.path.exists(path):
        raise Unavailable(f"Docker of the user {user!r} cannot be asked: there is no socket {path}; is it running?")
    return path


def _client(user: str | None) -> t.Any:
    if user not in _clients:
        _clients[user] = _connect(user)
    return _clients[user]


def _connect(user: str | None) -> t.Any:
    where: dict[str, t.Any] = {"base_url": f"unix://{_socket(user)}"}
    given = os.environ.get("DOCKER_HOST") if user is None else None
    url = given or where["base_url"]
    owner = _owner(user, url)
    try:
        import docker
    except ImportError as error:
        also = "" if error.name == "docker" else f" ({error})"
        raise Unavailable(
            "Docker cannot be asked, because the Python library docker is missing on the managed host "
            f"for {sys.executable}{also}; the package python3-docker or 'pip install docker' brings it."
        ) from None
    try:
        if user is None:
            where.update(docker.utils.kwargs_from_env())
        client = host_answers.call(SECONDS, _client_class(docker.APIClient), **where, version="auto", timeout=SECONDS)
    except Exception as error:  # pylint: disable=broad-except  # the SDK raises what its HTTP library raises
        hint = "is it running, and DOCKER_HOST right?" if given else "is it running?"
        raise Unavailable(f"Docker does not answer at {url}: {_reason(error)}; {hint}") from None
    if owner is None:  # nobody was there before, so that now it may be anybody
        owner = _owner(user, url)
    if owner is None:
        client.close()
        raise Unavailable(f"Docker does not answer at {url}; is it running?")
    _owners[user] = owner
    return client


def _client_class(base: t.Any) -> t.Any:
    return type("Client", (host_answers.Sized, base), {})


def _owner(user: str | None, url: str) -> int | None:
    """The user whose word the engine's is, by who listens there; None where none does. Nobody else's is taken for that
    of a runtime_user."""
    if not url.startswith(("unix://", "http+unix://")):
        return _owner_on_network(url)
    path = "/" + url.partition("://")[2].lstrip("/")
    try:
        uid = trust.engine_at(path, SECONDS)
    except (OSError, ValueError):
        return None  # the SDK will say so in its own words
    except trust.Untrusted as error:
        raise Unavailable(f"Docker cannot be asked: {error}.") from None
    if user is not None and uid != program.uid_of(user):
        raise Unavailable(
            f"Docker of the user {user!r} cannot be asked: what listens at {path} is not the user's, "
            f"but {trust.user_words(uid) if uid else 'root'}'s."
        )
    return uid


def _owner_on_network(url: str) -> int | None:
    """The same where DOCKER_HOST is no socket: with TLS or ssh it is the one that the task's environment means."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 2375
    except ValueError:
        return None  # the SDK will say so in its own words
    if parts.scheme not in ("tcp", "http") or os.environ.get("DOCKER_TLS_VERIFY"):
        return 0
    uids = trust.engine_on(port)
    if len(uids) > 1 or (not uids and host not in ("localhost", "127.0.0.1", "::1")):
        raise Unavailable(
            f"Docker cannot be asked: DOCKER_HOST is {url}, where anybody on the way could answer; "
            "the engine's socket (unix://) or DOCKER_TLS_VERIFY=1 would be right."
        )
    return uids.pop() if uids else None


def _odd(what: str) -> Unavailable:
    return Unavailable(f"docker gives an answer that is not understood ({what}).")


def _call(function: t.Callable[..., t.Any], *args: t.Any, **kwargs: t.Any) -> t.Any:
    """Asks the engine; None for what it does not know."""
    import docker.errors

    try:
        return host_answers.call(SECONDS, function, *args, **kwargs)
    except docker.errors.NotFound:
        return None
    except Exception as error:  # pylint: disable=broad-except
        raise Unavailable(f"Docker does not answer: {_reason(error)}.") from None


def _reason(error: BaseException) -> str:
    """The system's own words, which the SDK and its HTTP libraries wrap several times."""
    if isinstance(error, PipeworkError):
        return str(error)
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
        seen = seen.__cause__ or seen.__context__
    return host_answers.shortened_words(str(getattr(error, "explanation", None) or error).rstrip("."))


# -- a helper beside a container

SAID_BYTES = 1 << 20  # that a helper may say in all
START_SECONDS = 20  # that an engine may need for its start, besides


def _pieces(stream: t.Iterator[t.Any], seconds: float) -> t.Iterator[tuple[bytes | None, bytes | None]]:
    """What a helper says, until it ends, the time is over, or it is too much."""
    end, length = time.monotonic() + seconds, 0
    while length < SAID_BYTES:
        try:
            piece = host_answers.call(end - time.monotonic(), next, stream, None)
        except host_answers.Late:
            return
        except Exception as error:  # pylint: disable=broad-except
            raise Unavailable(f"Docker does not answer: {_reason(error)}.") from None
        if piece is None:
            return
        length += sum(len(each or b"") for each in piece)
        yield piece


def has_image(name: str, user: str | None) -> bool:
    return _call(_client(user).inspect_image, name) is not None


def run_beside(
    ident: str, user: str | None, image: str, archive: bytes, command: t.Sequence[str], rights: t.Sequence[str],
    seconds: float,
) -> t.Generator[tuple[bytes | None, bytes | None], None, None]:
    """Runs a container that shares another one's network namespace, with these rights alone and the files of an
    archive; yields what it says on its output and on stderr. The engine removes it when it has ended."""
    client = _connect(user)  # of its own: several may run at once
    with contextlib.closing(client):
        host_config = client.create_host_config(
            network_mode=f"container:{ident}", cap_drop=["ALL"], cap_add=list(rights), auto_remove=True,
            security_opt=["no-new-privileges"],
        )
        made = _call(
            client.create_container, image, list(command[1:]), entrypoint=list(command[:1]), user="0",
            host_config=host_config, environment={"LC_ALL": "C"}, labels={"pipework": "helper"},
        )
        if made is None:
            raise PipeworkError(f"dhcp_image: Docker has no image {image!r}.")
        try:
            _call(client.put_archive, made["Id"], "/", archive)
            stream = _call(client.attach, made["Id"], stdout=True, stderr=True, stream=True, demux=True)
            _call(client.start, made["Id"])
            yield from _pieces(stream, seconds + START_SECONDS)
        finally:
            with contextlib.suppress(Unavailable):
                _call(client.remove_container, made["Id"], force=True)


# -- the container

@dataclasses.dataclass(frozen=True)
class _Listing:
    """All containers of an engine, running or not."""

    idents: dict[str, str]  # by name
    names: dict[str, str]  # by ID


def _list(client: t.Any, every: bool = True) -> _Listing:
    listing = _Listing({}, {})
    try:
        for container in host_answers.listed(_call(client.containers, all=every)):
            ident = container["Id"]
            if not IDENT.fullmatch(ident):
                raise _odd("no container's ID, which has 64 hexadecimal digits")
            for name in container["Names"] or [ident]:
                if not all(NAME.fullmatch(part) for part in name.lstrip("/").split("/")):
                    raise _odd(f"{host_answers.shortened_words(name)!r} is no container's name")
                listing.idents[name.lstrip("/")] = ident
                if "/" not in name.lstrip("/"):  # else it is what a linked container calls it
                    listing.names[ident] = name.lstrip("/")
    except (KeyError, TypeError, AttributeError):
        raise _odd("no list of containers") from None
    return listing


def _resolve(listing: _Listing, name: str) -> str | None:
    return resolve(listing.idents, listing.names, name)


def _find(client: t.Any, listing: _Listing, name: str, user: str | None, deadline: float) -> Found | None:
    name = name[1:] if name.startswith("/") else name  # as 'docker inspect' shows it
    ident = _resolve(listing, name)
    exact = name in listing.idents or name in listing.names
    while ident is not None:
        info = _call(client.inspect_container, ident)
        if info is None:
            break
        state, shown = _checked(info, ident)
        fd = _enter(info) if state.get("Pid") else None
        if fd is not None:
            whose = _owners.get(user, 0 if user is None else program.uid_of(user))
            return Found("docker", shown, ident, fd, user, exact, state["Pid"], whose, _publishes(info))
        changing = state.get("Pid") or state.get("Status") in ("created", "restarting")
        if not changing or time.monotonic() > deadline:
            raise _no_namespace(shown, state, exact)
        time.sleep(POLL_SECONDS)
    return None


def _checked(info: t.Any, ident: str) -> tuple[dict[str, t.Any], str]:
    """A container's state and name, as far as anything else depends on them."""
    try:
        state, shown, pid = info["State"], info["Name"].lstrip("/"), info["State"].get("Pid") or 0
        right = info["Id"] == ident and NAME.fullmatch(shown) and isinstance(pid, int) and 0 <= pid < 1 << 31
        right = right and not isinstance(pid, bool)
        right = right and str(state.get("Status") or "none").isalnum()
    except (KeyError, TypeError, AttributeError):
        right = None
    if not right:
        raise _odd(f"no state of the container {ident[:12]}")
    return state, shown


def _publishes(info: t.Mapping[str, t.Any]) -> bool:
    settings = info.get("NetworkSettings")
    ports = settings.get("Ports") if isinstance(settings, dict) else None
    return isinstance(ports, dict) and any(ports.values())


def _no_namespace(shown: str, state: t.Mapping[str, t.Any], exact: bool) -> PipeworkError:
    status = state.get("Status") or "not running"
    if state.get("Pid"):
        return PipeworkError(
            f"container: {shown!r} runs as process {state['Pid']}, says Docker, but here that is no process of it; "
            "the module has to run on the engine's own host."
        )
    if status == "created":
        words = f"has been created but not started, so it has no network namespace; start it ('docker start {shown}')"
    elif status == "restarting":
        words = f"ends and is restarted again and again, so no network namespace of it lasts; see 'docker logs {shown}'"
    else:
        words = f"is not running ({status}), so it has no network namespace; start it ('docker start {shown}')"
    stopped = NotRunning(f"container: {shown!r} {words}.")
    stopped.exact = exact
    stopped.known_as = shown
    return stopped


def _enter(info: t.Mapping[str, t.Any]) -> int | None:
    """Opens the namespace of the process that the engine names; None where the number is another process's by now."""
    return enter(info["State"]["Pid"], lambda pid, born: _belongs(pid, born, info))


def _belongs(pid: int, born: int, info: t.Mapping[str, t.Any]) -> bool:
    """Whether a process is in the container's control group.

    Where an engine makes none (one without root, on older hosts): whether it is the first of a PID namespace, as a
    container's is, and of the container's age.
    """
    if in_group(pid, info["Id"]):
        return True
    numbers = status(pid, "NSpid")
    if not (numbers[1:] and numbers[-1] == "1") and not (info.get("HostConfig") or {}).get("PidMode"):
        return False
    started = TIME.fullmatch(str(info["State"].get("StartedAt")))
    if started is None:
        return False
    moment = datetime.datetime.fromisoformat(started.group(1) + started.group(2).replace("Z", "+00:00")).timestamp()
    birth = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + born / os.sysconf("SC_CLK_TCK")
    return moment - BIRTH_SECONDS < birth < moment + 1
