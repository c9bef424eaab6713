# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Runs that fail or are killed at each of their operations: how a case is told, and how it is held against the laws.

A story has three runs: what it makes (`new`), what it changes (`changed`), and what takes all away (`gone`). Each is
disturbed at every operation.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import re
import typing as t
from functools import partial

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._engine.run import run
from ansible_collections.pipework.containers.plugins.module_utils._jobs.attach import AttachJob
from tests.integration.lab import Host, Injected, Killed, Params, _sh, difference, enter, eventually, killed_at

MOST = 200  # operations of one run
TAKEN_BACK = ("were taken back; everything is as it was.", "Nothing was changed.")
ACTIONS = {"c": "create", "u": "update", "d": "delete"}
PHASES = ("new", "changed", "gone")
Prepare = t.Callable[[Host, contextlib.ExitStack], None]
Done = list[tuple[str, str]]  # action and kind


def nothing(_host: Host, _stack: contextlib.ExitStack) -> None:
    """Nothing is to be made before."""


@dataclasses.dataclass(frozen=True)
class Story:
    """``covers``: which operations on which kinds of objects its runs have, as "link cud, address c"."""

    name: str
    new: Params
    gone: Params
    covers: str
    changed: Params | None = None
    job: t.Any = AttachJob
    gone_job: t.Any = None  # where what it made goes by another module's job
    prepare: Prepare = nothing
    repeat: Params | None = None  # options that the second run has otherwise
    guests: tuple[str, ...] = ("a", "b")
    attaches: tuple[str, ...] = ()  # kinds of attachments, where it is about one
    look: t.Callable[[Host], t.Any] | None = None  # what else belongs to the state
    phases: tuple[str, ...] = PHASES
    first: int = 0  # before that operation it is killed in other stories
    kills: bool = True
    bare: bool = True  # what is killed may also be taken away without being done again

    @property
    def operations(self) -> frozenset[tuple[str, str]]:
        """Actions and kinds."""
        return covered(self.covers)

    def run(self, phase: str) -> Params | None:
        return {"new": self.new, "changed": self.changed, "gone": self.gone}[phase]


def covered(words: str) -> frozenset[tuple[str, str]]:
    """What stands in ``covers``."""
    pairs = (each.split() for each in words.split(",") if each.strip())
    return frozenset((ACTIONS[letter], kind) for kind, letters in pairs for letter in letters)


def parametrized(stories: t.Sequence[Story]) -> t.Any:
    """Each run of each story."""
    return pytest.mark.parametrize(
        ("story", "phase"),
        [
            pytest.param(story, phase, id=f"{story.name}-{phase}")
            for story in stories
            for phase in story.phases
            if story.run(phase) is not None
        ],
    )


class Stage:
    """The host of a story, whose state is looked at as a whole."""

    def __init__(self, story: Story, phase: str, host: Host, light: bool = False) -> None:
        self.story, self.host, self.light = story, host, light
        self.disturbed = t.cast(Params, story.run(phase))
        self.earlier = () if phase == "new" else (story.new,)
        self.done: Done = []
        self.said: dict[str, t.Any] = {}

    def go(self, params: Params, step: t.Any = None) -> tuple[dict[str, t.Any], Done]:
        """A run, and its operations, also those of its second round."""
        job = self.story.gone_job if params is self.story.gone and self.story.gone_job else self.story.job

        def work() -> tuple[dict[str, t.Any], Done]:
            seen: Done = []

            def watch(operation: t.Any) -> None:
                seen.append((operation.action, operation.subject.KIND))
                if step is not None:
                    step(operation)

            return run(job(params), step=watch), seen

        return self.host.call(work)

    def again(self) -> dict[str, t.Any]:
        return self.go({**self.disturbed, **(self.story.repeat or {})})[0]

    def begin(self) -> None:
        for params in self.earlier:
            self.go({**params, **(self.story.repeat or {})})

    def end(self) -> None:
        self.go(self.story.gone)

    def state(self) -> dict[str, t.Any]:
        found = settled(self.host.snapshot())
        if not self.light:
            found["besides"] = self.host.call(besides, self.host.guests)
        found["journal"] = self.host.call(partial(os.path.exists, "/run/pipework/links"))  # of a run that was killed
        if self.story.look is not None:
            found["look"] = self.story.look(self.host)
        return found

    def assert_as(self, wanted: dict[str, t.Any], what: str, lasting: bool = False) -> None:
        """The state is that one, or soon will be: processes need a moment to end."""
        found: list[str] = []

        def same() -> bool:
            nonlocal found
            now = self.state()
            found = difference(wanted, comparable(now) if lasting else now)
            return not found

        assert eventually(same, 20), f"{what}: {found}"


def fail_at_every_operation(stage: Stage) -> int:
    """Each failure leaves the state before, and says so; the run after the last one is not disturbed."""
    before = stage.state()
    for number in range(MOST):
        try:
            stage.said, stage.done = stage.go(stage.disturbed, step=_failing(number))
        except PipeworkError as error:
            said = str(error)
            assert "a failure was injected" in said and said.endswith(TAKEN_BACK), f"failed at {number}: {said}"
            stage.assert_as(before, f"failed at operation {number}: {said}")
            continue
        assert number > 0, "there was nothing to do"
        return number
    raise AssertionError("more operations than are believed")


def disturb(stage: Stage) -> None:
    """Failures at every operation, then kills at every operation."""
    base = stage.state()
    stage.begin()
    number = fail_at_every_operation(stage)
    look = stage.again()
    assert not untrue(stage.said["after"], look["before"]), "what a run says that there is"
    assert not stage.again()["changed"], "a second run changes nothing"
    if stage.disturbed is stage.story.gone and stage.story.kills:
        stage.assert_as(base, "gone")  # once the processes that serve nothing any more have ended
    wanted = comparable(stage.state())
    # Where programs are slow, at the first one and each third after it.
    for place in range(stage.story.first, number if stage.story.kills else 0, 3 if stage.light else 1):
        stage.end()
        stage.begin()
        _kill(stage, place)
        stage.again()
        stage.assert_as(wanted, f"killed at operation {place} ({stage.done[place]}), and run again", lasting=True)
        stage.end()
        stage.assert_as(base, f"killed at operation {place} ({stage.done[place]}), run again and taken away")
        if stage.story.bare and place % 3 == 1 and stage.disturbed != stage.story.gone:
            stage.begin()
            _kill(stage, place)
            stage.end()
            stage.end()  # the journal of the run that was killed goes with the next one
            stage.assert_as(base, f"killed at operation {place} ({stage.done[place]}), and taken away")
    stage.end()
    if stage.story.kills:
        stage.assert_as(base, "at the end")


def untrue(after: dict[str, t.Any], fresh: dict[str, t.Any]) -> list[str]:
    """What a run said of the state that it left, and what is otherwise at a fresh look."""
    found = [f"{key} is there" for key in fresh if key not in after]
    for key in set(after) & set(fresh):
        found += [f"{key}: {field} is {fresh[key].get(field)}, not {value}" for field, value in after[key].items()
                  if not _within(value, fresh[key].get(field))]
    return found


def _within(value: t.Any, there: t.Any) -> bool:
    if isinstance(value, dict) and isinstance(there, dict):
        return all(_within(each, there.get(name)) for name, each in value.items())
    return bool(value == there)


def _kill(stage: Stage, place: int) -> None:
    """A second round, of what a server grants, may be shorter than it was."""
    try:
        _said, seen = stage.go(stage.disturbed, step=killed_at(place))
    except Killed:
        return
    assert place >= len(seen) > 0, f"not killed at operation {place}"


def _failing(number: int) -> t.Callable[[t.Any], None]:
    passed = iter(range(MOST * 2))

    def step(_operation: t.Any) -> None:
        if next(passed) == number:
            raise Injected("a failure was injected.")

    return step


def comparable(found: dict[str, t.Any]) -> dict[str, t.Any]:
    """A state without what is different each time that it is made: names of host ends, random addresses, seals, and
    the numbers of rules of attachments, which depend on what stood there; their order stays."""
    found = json.loads(json.dumps(found))
    for each in found.values():
        for rule in each.get("rules", ()) if isinstance(each, dict) else ():
            if rule.get("protocol") in ("112", "113"):
                rule["priority"] = "ours"
    names = {
        name: "end of " + re.sub(r"pipework:netns:(\w+):\d+:", r"\1 ", link["ifalias"])
        for name, link in found["host"]["links"].items()
        if name.startswith("pw") and "ifalias" in link
    }
    text = re.sub(r"pipework:netns:(\w+):\d+:", r"pipework:netns:\1:", json.dumps(found))
    text = re.sub(r"\|[0-9a-f]{16}\|", "|seal|", text)
    text = re.sub(r"(?!06:00:00)(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", "random", text)
    for name, instead in names.items():
        text = re.sub(rf"\b{name}\b", instead, text)
    return dict(json.loads(text))


def settled(found: dict[str, t.Any]) -> dict[str, t.Any]:
    """A snapshot in which leases have no age, and rules of ours that stand together no order: all of them let pass."""
    text = re.sub(r"(_life_time\W+)\d+", r"\g<1>0", json.dumps(found))
    calm = dict(json.loads(text))
    lines = str(calm["host"]["filter"]).splitlines()
    groups = itertools.groupby(lines, key=lambda line: "pipework:" in line)
    calm["host"]["filter"] = [line for ours, some in groups for line in (sorted(some) if ours else some)]
    return calm


def besides(guests: t.Sequence[str]) -> dict[str, t.Any]:
    """Traffic control, tables of forwarding, VLANs of ports, files of containers, parameters: what ip does not show."""
    kept = {name: files(f"/etc/netns/{name}") for name in guests}  # the machine's other ones are others'
    found: dict[str, t.Any] = {"files": kept, "host": _beside()}
    for name in guests:
        with open(f"/run/netns/{name}", "rb") as handle:
            enter(handle.fileno())
        found[name] = _beside()
    return found


def files(folder: str) -> dict[str, str]:
    found = {}
    for where, _folders, names in os.walk(folder):
        for name in names:
            with open(os.path.join(where, name), encoding="latin-1") as handle:
                found[os.path.join(where, name)] = handle.read()
    return found


VOLATILE = re.compile(
    r"(refcnt|direct_packets_stat|index|id) \d+|burst 1\d\d\db\S*|fh 80\d\S*|ht 80\d|order \d+|installed .*sec"
)
QUIET = ("noqueue", "noop")


def _beside() -> dict[str, t.Any]:
    found: dict[str, t.Any] = {"tc": {}, "sysctls": {}}
    devices = set()
    for line in _sh(["tc", "-d", "qdisc", "show"], "", False).splitlines():
        words = line.split()
        device = words[words.index("dev") + 1] if "dev" in words else ""
        if len(words) > 1 and words[1] not in QUIET and device:
            devices.add(device)
            found["tc"].setdefault(device, []).append(_calm(line))
    for device in sorted(devices):
        for words in (
            ("class", "show"),
            ("filter", "show"),
            ("filter", "show", "ingress"),
            ("filter", "show", "egress"),
        ):
            said = _sh(["tc", "-d", *words[:2], "dev", device, *words[2:]], "", False)
            found["tc"][device] += [_calm(line) for line in said.splitlines()]
    shown = json.loads(_sh(["bridge", "-j", "fdb", "show"], "", False) or "[]")
    found["fdb"] = sorted(
        f"{each['ifname']} {each['mac']} {each.get('dst')} {each.get('vlan')}"
        for each in shown
        if each.get("state") == "permanent" and "dst" in each
    )
    vlans = json.loads(_sh(["bridge", "-j", "vlan", "show"], "", False) or "[]")
    found["vlans"] = {each["ifname"]: each["vlans"] for each in vlans}
    for device in os.listdir("/proc/sys/net/ipv4/conf"):
        for path in SYSCTLS:
            with contextlib.suppress(OSError), open(f"/proc/sys/net/{path.format(device)}", encoding="ascii") as handle:
                found["sysctls"][path.format(device)] = handle.read().strip()
    return found


SYSCTLS = (
    "ipv4/conf/{}/arp_ignore", "ipv4/conf/{}/forwarding", "ipv4/conf/{}/proxy_arp", "ipv4/neigh/{}/gc_stale_time",
    "ipv6/conf/{}/accept_ra", "ipv6/conf/{}/disable_ipv6",
)  # fmt: skip


def _calm(line: str) -> str:
    return " ".join(VOLATILE.sub("", line).split())
