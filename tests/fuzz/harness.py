# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Runs a reader on what others may send, for a bounded time: first what is kept in ``corpus``, then what is made up.

Each reader may refuse its input by the errors that it promises, and by no other; and it has to come to an end. An input
that it stumbles over is written to ``.cache/fuzz/NAME``: once mended, it belongs into ``corpus/NAME``, under a name
that says what was wrong. PIPEWORK_FUZZ_SECONDS says how long each target is tried.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError

SECONDS = float(os.environ.get("PIPEWORK_FUZZ_SECONDS", "1.5"))
PATIENCE = 3.0  # seconds of the processor for one input, some of which are long; most take less than a millisecond
ROUND = 100  # inputs
CORPUS = Path(__file__).parent / "corpus"
FOUND = Path(__file__).resolve().parents[2] / ".cache" / "fuzz"
BYTES, TEXT, JSON = "bin", "txt", "json"
SETTINGS = settings(
    max_examples=ROUND,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.reuse, Phase.generate, Phase.shrink),
)


@dataclass(frozen=True)
class Made:
    """An input that was made up, shown in short."""

    value: Any

    def __repr__(self) -> str:
        shown = repr(self.value[:160] if isinstance(self.value, (str, bytes)) else self.value)
        return shown if len(shown) < 400 else f"{shown[:400]}…"


class TooLong(Exception):
    """A reader that does not come to an end."""


@dataclass(frozen=True)
class Target:
    """One reader. ``errors``: those that it may raise; ``form``: how its inputs are kept in files."""

    name: str
    inputs: st.SearchStrategy[Any]
    read: Callable[[Any], Any]
    errors: tuple[type[Exception], ...] = (PipeworkError,)
    form: str = TEXT

    def kept(self) -> list[Path]:
        """The inputs that something was wrong with once."""
        return sorted((CORPUS / self.name).glob(f"*.{self.form}"))

    def load(self, path: Path) -> Any:
        data = path.read_bytes()
        if self.form == BYTES:
            return data
        text = data.decode("utf-8", "surrogatepass")
        return text if self.form == TEXT else json.loads(text)

    def keep(self, value: Any) -> Path:
        """Writes an input that was stumbled over."""
        text = value if self.form != JSON else json.dumps(value)
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        path = FOUND / self.name / f"{hashlib.sha256(data).hexdigest()[:12]}.{self.form}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def try_one(self, value: Any) -> None:
        """Reads one input; anything but what is promised is a failure."""
        try:
            with bounded(self.name):
                self.read(value)
        except Exception as error:
            said = not isinstance(error, PipeworkError) or str(error).strip()
            if not (isinstance(error, self.errors) and said):
                raise


@contextmanager
def bounded(name: str) -> Iterator[None]:
    """Ends what takes too much of the processor's time."""

    def ring(_number: int, _frame: Any) -> None:
        raise TooLong(f"{name} takes more than {PATIENCE:g} s for one input")

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def try_kept(target: Target, path: Path) -> None:
    """One input of the corpus."""
    target.try_one(target.load(path))


def fuzz(target: Target) -> None:
    """Rounds of made up inputs until the time is over."""
    tried, failed = 0, False
    end = time.monotonic() + SECONDS

    def once(made: Made) -> None:
        nonlocal tried, failed
        if failed or time.monotonic() < end:
            tried += 1
            try:
                target.try_one(made.value)
            except Exception:
                failed = True  # now the smallest such input is looked for, however long that takes
                target.keep(made.value)
                raise

    once.__name__ = once.__qualname__ = target.name  # by which hypothesis finds again what has failed
    go_round = SETTINGS(given(target.inputs.map(Made))(once))
    while time.monotonic() < end:
        go_round()
    assert tried, f"{target.name}: nothing was tried"


def parameters(targets: list[Target]) -> tuple[Any, Any]:
    """Decorators of the two tests that a file has: what is kept, and what is made up."""
    kept = [pytest.param(each, path, id=f"{each.name}-{path.stem}") for each in targets for path in each.kept()]
    return (
        pytest.mark.parametrize(("target", "path"), kept),
        pytest.mark.parametrize("target", [pytest.param(each, id=each.name) for each in targets]),
    )
