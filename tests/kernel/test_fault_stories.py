# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""B4: the same as tests/integration/test_fault_stories.py, for what only this lane's kernel has."""

from __future__ import annotations

import contextlib

from tests.integration.disturbed import Stage, Story, disturb, parametrized
from tests.integration.fault_stories import IN_UML
from tests.integration.lab import Host


@parametrized(IN_UML)
def test_B4_a_failure_or_a_kill_at_every_operation_of(story: Story, phase: str) -> None:
    with contextlib.ExitStack() as stack:
        host = Host(*story.guests)
        stack.callback(host.close)
        story.prepare(host, stack)
        stage = Stage(story, phase, host, light=True)
        disturb(stage)
        assert set(stage.done) & story.operations, "none of the operations that the story is told for"
