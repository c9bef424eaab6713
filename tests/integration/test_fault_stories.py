# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""B4, for every kind of object, attachment and module: a failure or a SIGKILL at every operation of a run."""

from __future__ import annotations

import contextlib

import pytest

from tests.integration.disturbed import Stage, Story, disturb, parametrized
from tests.integration.fault_stories import HERE_AND_NOW
from tests.integration.lab import Host

pytestmark = pytest.mark.root
done: dict[str, dict[str, set[tuple[str, str]]]] = {}  # what each run of each story did


@parametrized(HERE_AND_NOW)
def test_B4_a_failure_or_a_kill_at_every_operation_of(story: Story, phase: str) -> None:
    with contextlib.ExitStack() as stack:
        host = Host(*story.guests)
        stack.callback(host.close)
        story.prepare(host, stack)
        stage = Stage(story, phase, host)
        disturb(stage)
        done.setdefault(story.name, {})[phase] = set(stage.done)


def test_B4_the_stories_have_the_operations_that_they_are_told_for() -> None:
    """Those of which all runs were disturbed in this session."""
    whole = [s for s in HERE_AND_NOW if {p for p in s.phases if s.run(p) is not None} == set(done.get(s.name, ()))]
    if not whole:
        pytest.skip("no story was told as a whole")
    for story in whole:
        missing = story.operations - set().union(*done[story.name].values())
        assert not missing, f"{story.name}: {sorted(missing)}"
