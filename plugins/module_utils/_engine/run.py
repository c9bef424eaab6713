# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""One run, the same for every module: observe, plan, apply, observe again. No ansible here: a service can run it too.

A job knows what is wanted of which objects; this knows the order in which things are done and what is said about it.
"""
from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import functools
import os
import signal
import time
import typing as t

from .._core.errors import PipeworkError
from .._core.plan import Desired, Key, Plan, State, reconcile, simulate, view
from .._host.privileges import require_privileges
from .._netlink.namespaces import Namespaces
from .done import as_seen, merged
from .executors import Executors, Journal, Passes

if t.TYPE_CHECKING:
    from .apply import Step

RUN_FOLDER = "/run/pipework"
LOCK_SECONDS = 300
SETTLE_TRIES = 4
OPEN_TRIES = 3


@dataclasses.dataclass
class Picture:
    """What a job makes of one observation: the state, what is wanted of it, and the keys shown as before and after."""

    state: State
    desired: Desired
    shown: set[Key]


class Job(t.Protocol):
    """What a module is about."""

    journal: Journal
    passes: t.Callable[[], Passes]

    def open(self, namespaces: Namespaces) -> None:
        """Finds the containers and opens their namespaces, without the lock: it may wait, and changes nothing. Called
        once more where one of them ended meanwhile. Raises PipeworkError."""

    def picture(self, namespaces: Namespaces) -> Picture:
        """Reads the kernel and says what is wanted. Raises PipeworkError."""

    def executors(self) -> Executors:
        """Of all that it may change; asked for where there is something to change."""

    def results(self, state: State) -> dict[str, t.Any]:
        """What the module returns besides what every module does."""

    def finish(self, plan: Plan, namespaces: Namespaces, state: State) -> bool | None:
        """What is to be done after the state has been verified. True: something came by itself, to be looked at."""


def _told(work: t.Callable[..., dict[str, t.Any]]) -> t.Callable[..., dict[str, t.Any]]:
    """Out of file descriptors or memory, say: then it is not known what is there, which is one clear error."""
    @functools.wraps(work)
    def wrapped(*args: t.Any, **more: t.Any) -> dict[str, t.Any]:
        try:
            return work(*args, **more)
        except OSError as error:  # what was changed before is told by another one
            where = f"{error.filename}: " if error.filename else ""
            words = f"The host could not be looked at: {where}{error.strerror or error}."
            raise PipeworkError(words, "Nothing was changed.") from error

    return wrapped


@_told
def run(job: Job, check: bool = False, step: Step | None = None) -> dict[str, t.Any]:
    """Does a job, or in check mode says what it would do. ``step`` is called before each operation (see apply.py)."""
    require_privileges()
    with opened(job.open) as namespaces:
        try:
            look = functools.partial(_picture, job, namespaces, job.passes())
            picture = look()
            plan = reconcile(picture.desired, picture.state)
        except PipeworkError as error:
            raise error if error.undone else PipeworkError(str(error), "Nothing was changed.") from None
        before = picture
        planned = after = simulate(picture.state, plan)
        if plan and not check:
            picture, later = _change(job, plan, namespaces, step, look)
            plan = merged(plan, later)
            after, planned = picture.state, as_seen(simulate(before.state, plan), picture.state)
        elif not check:
            job.journal.tidy(namespaces)
        keys = before.shown | {operation.key for operation in plan}
        return {
            "changed": bool(plan),
            "before": view(before.state, keys),
            "after": view(planned, keys),
            "operations": [operation.public() for operation in plan],
            **_with_left_out(job.results(after), namespaces.left_out),
        }


def _with_left_out(results: dict[str, t.Any], left_out: dict[str, str]) -> dict[str, t.Any]:
    """A job's results, and the containers that it went on without."""
    if not left_out:
        return results
    told = [f"{words} It is left out, as 'missing: skip' says." for words in left_out.values()]
    return {**results, "skipped": list(left_out), "warnings": [*results.get("warnings", ()), *told]}


@contextlib.contextmanager
def opened(find: t.Callable[[Namespaces], None]) -> t.Iterator[Namespaces]:
    """The lock, and containers that were found before it was taken: whoever waits for an engine holds up nobody.

    Where one of them ended, or was started anew, while the lock was waited for, all are found once more.
    """
    for tries_left in reversed(range(OPEN_TRIES)):
        with contextlib.ExitStack() as stack:
            namespaces = stack.enter_context(contextlib.closing(Namespaces()))
            try:
                find(namespaces)
            except PipeworkError as error:
                raise error if error.undone else PipeworkError(str(error), "Nothing was changed.") from None
            with lock(), stack.pop_all():
                if tries_left and not all(lives() for lives in namespaces.holders):
                    continue
                yield namespaces
                return


def _picture(job: Job, namespaces: Namespaces, passes: Passes) -> Picture:
    picture = job.picture(namespaces)
    passes.add(picture.state, picture.desired, namespaces)
    return picture


def _change(
    job: Job, plan: Plan, namespaces: Namespaces, step: Step | None, look: t.Callable[[], Picture],
) -> tuple[Picture, Plan]:
    """Applies a plan and reads the kernel again, until nothing more is wanted; returns what there is then, and what was
    done after the plan."""
    from .apply import apply, take_back  # which a run that changes nothing does not need

    executors = job.executors()
    done: Plan = []
    todo = plan
    finished = False
    with _interruptible():
        try:
            for _attempt in range(SETTLE_TRIES):
                apply(todo, namespaces, executors, job.journal, step)
                done += todo
                picture = look()
                todo = reconcile(picture.desired, picture.state)
                if not todo and not finished:
                    for still_there in namespaces.checks:
                        still_there()
                    finished = True
                    if job.finish(done, namespaces, picture.state):
                        picture = look()
                        todo = reconcile(picture.desired, picture.state)
                if not todo:
                    job.journal.end(done, namespaces)
                    return picture, done[len(plan):]
        except Exception as error:
            if done:
                words = getattr(error, "message", str(error))
                raise PipeworkError(words, take_back(done, namespaces, executors, job.journal)) from error
            raise
        shown = [(operation, operation.public()) for operation in todo[:5]]
        left = "; ".join(f"{operation}: {public['before']} instead of {public['after']}" for operation, public in shown)
        taken_back = take_back(done, namespaces, executors, job.journal)
        raise PipeworkError(f"The kernel does not show what was set ({left}).", taken_back)


@contextlib.contextmanager
def lock() -> t.Iterator[None]:
    """One run at a time on a host."""
    try:
        os.makedirs(RUN_FOLDER, mode=0o755, exist_ok=True)
        handle = os.open(os.path.join(RUN_FOLDER, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        words = f"The lock {RUN_FOLDER}/lock cannot be opened: {error.strerror}."
        raise PipeworkError(words, "Nothing was changed.") from None
    try:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise PipeworkError(_who_holds(handle), "Nothing was changed.") from None
                time.sleep(0.02)
        yield
    finally:
        os.close(handle)


def _who_holds(handle: int) -> str:
    from .._host import stopped  # which few runs need

    pid = stopped.holder(handle)
    words = f"Another run has held {RUN_FOLDER}/lock for {LOCK_SECONDS} s"
    return f"{words}: the process {pid}{stopped.words(pid)}." if pid is not None else f"{words}."


class Interrupted(Exception):
    """A signal to end the run."""

    expected = True

    def __init__(self, number: int) -> None:
        super().__init__(f"The run was ended by {signal.Signals(number).name}.")


@contextlib.contextmanager
def _interruptible() -> t.Iterator[None]:
    """A lost connection or a kill takes back what was done, instead of leaving half of it."""
    def stop(number: int, _frame: t.Any) -> None:
        for each in old:
            signal.signal(each, signal.SIG_IGN)  # what follows is the taking back
        raise Interrupted(number)

    old: dict[int, t.Any] = {}
    with contextlib.suppress(ValueError):  # not in the main thread
        old = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
