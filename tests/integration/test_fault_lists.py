# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""B4: no kind of object, of attachment and no module is without runs that fail or are killed at every operation."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path

import ansible_collections.pipework.containers.plugins.module_utils as code
from ansible_collections.pipework.containers.plugins.module_utils._attach.kinds import KINDS
from ansible_collections.pipework.containers.plugins.module_utils._core.order import ORDER
from ansible_collections.pipework.containers.plugins.module_utils._core.plan import KernelObject
from tests.integration.fault_stories import ELSEWHERE, HERE_AND_NOW, IN_UML, MISSING, NEVER, NO_RUN, WITHOUT_A_DEVICE

JOBS = sorted(path.stem for path in Path(next(iter(code.__path__)), "_jobs").glob("[a-z]*.py")
              if "Job:\n" in path.read_text(encoding="utf-8"))


def concrete(base: type[KernelObject] = KernelObject) -> set[type[KernelObject]]:
    """All classes of objects that have a kind, wherever in the code."""
    for found in pkgutil.walk_packages(code.__path__, code.__name__ + "."):
        importlib.import_module(found.name)
    return {each for each in descendants(base) if each.KIND}


def descendants(base: type) -> set[type]:
    found = set(base.__subclasses__())
    return found.union(*(descendants(each) for each in found)) if found else found


def in_stories() -> set[tuple[str, str]]:
    stories = [story.operations for story in (*HERE_AND_NOW, *IN_UML)]
    return set().union(*stories, *(lane.operations for lane in ELSEWHERE))


def test_B4_every_kind_of_object_is_disturbed_in_some_lane() -> None:
    kinds = {each.KIND for each in concrete() if each.__module__.startswith(code.__name__)}
    assert len(kinds) > 25
    known = {kind for kind, _action in ORDER}
    lacking = set()
    for kind in sorted(kinds):
        actions = {action for of, action in ORDER if of == kind} or {"create", "delete"}
        assert kind in known or kind in NEVER or kind in ("qdisc", "class"), kind
        lacking |= {(action, kind) for action in actions} - in_stories() - NEVER
    lacking -= MISSING
    assert not lacking, f"no story in tests/integration/fault_stories.py has {sorted(lacking)}"


def test_B4_what_is_listed_as_missing_is_no_operation_of_any_story() -> None:
    assert not in_stories() & (NEVER | MISSING)


def test_B4_every_kind_of_attachment_is_disturbed_in_some_lane() -> None:
    done = {kind for story in (*HERE_AND_NOW, *IN_UML) for kind in story.attaches}
    assert set(KINDS) - WITHOUT_A_DEVICE == done | {kind for lane in ELSEWHERE for kind in lane.attaches}


def test_B4_every_module_that_changes_something_is_disturbed() -> None:
    done = {Path(inspect.getfile(story.job)).stem for story in (*HERE_AND_NOW, *IN_UML)}
    assert set(JOBS) - set(NO_RUN) == done


def test_B4_what_other_lanes_cover_stands_where_they_are_told() -> None:
    for lane in ELSEWHERE:
        path = Path(__file__).parents[2] / lane.path
        text = path.read_text(encoding="utf-8")
        assert f"def {lane.test}(" in text and "failing_at(" in text and "killed_at(" in text, lane
