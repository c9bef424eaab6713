# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What comes from outside: JSON of any sort, and words of anybody."""

from __future__ import annotations

import contextlib
import json
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError, printable
from ansible_collections.pipework.containers.plugins.module_utils._host import answers


@given(st.text(st.characters(exclude_categories=())))
def test_B17_whatever_a_message_is_made_of_it_can_be_shown(text: str) -> None:
    for error in (PipeworkError(text), PipeworkError("It failed.", text)):
        assert str(error).isprintable() and error.message.isprintable()
        str(error).encode("utf-8")  # no half of a pair either
    assert printable(printable(text)) == printable(text)
    assert not text.isprintable() or printable(text) == text


@pytest.mark.parametrize("sign", ["\x1b", "\x07", "\r", "\n", "\x7f", "\x9b", "\u202e", "\u2066", "\u2028", "\udc9b"])
def test_B17_what_steers_a_terminal_is_written_out(sign: str) -> None:
    assert printable(f"a{sign}b") == f"a{sign.encode('unicode_escape').decode()}b"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_B17_json_comes_through(value: object) -> None:
    assert answers.parse(json.dumps(value)) == value
    assert answers.parse(json.dumps(value).encode()) == value


@given(st.binary() | st.text(st.characters(exclude_categories=())))
def test_B17_anything_else_is_one_sort_of_error(data: bytes | str) -> None:
    with contextlib.suppress(ValueError):
        answers.parse(data)


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, "NaN", "-Infinity", "[" + "0," * (1 << 19) + "0]", ""])
def test_B17_json_that_would_cost_too_much_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        answers.parse(text)


def test_B17_what_does_not_come_back_is_left_behind() -> None:
    gate = threading.Event()
    start = time.monotonic()
    with pytest.raises(answers.Late, match=r"within 0\.1 s"):
        answers.call(0.1, gate.wait, 60)
    with answers.within(0.1), answers.within(60):  # the outer one stays
        with pytest.raises(answers.Late):
            answers.call(60, gate.wait, 60)
        with pytest.raises(answers.Late, match="the time is over"):
            answers.call(60, int)
    assert answers.call(60, int, "7") == 7
    with pytest.raises(KeyError):
        answers.call(60, {}.__getitem__, "x")
    assert time.monotonic() - start < 30
    gate.set()
