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


@parametrized(HERE_AND_NOW)
def test_B4_a_failure_or_a_kill_at_every_operation_of(story: Story, phase: str) -> None:
    with contextlib.ExitStack() as stack:
        host = Host(*story.guests)
        stack.callback(host.close)
        story.prepare(host, stack)
        stage = Stage(story, phase, host)
        disturb(stage)
        assert set(stage.done) & story.operations, "none of the operations that the story is told for"
