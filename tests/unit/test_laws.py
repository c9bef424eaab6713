# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The laws of plans, over random states and wishes.

A wish is drawn so that it does not contradict itself: nothing is wanted on a link that shall go, or that is nowhere.
"""

from __future__ import annotations

import dataclasses
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.pipework.containers.plugins.module_utils._core.plan import (
    Absent,
    Desired,
    KernelObject,
    Key,
    Plan,
    State,
    reconcile,
    simulate,
    undo,
    view,
)
from ansible_collections.pipework.containers.plugins.module_utils._model.objects import (
    HOST,
    UNFINISHED,
    Address,
    Link,
    Nic,
    Port,
    Route,
)
from ansible_collections.pipework.containers.plugins.module_utils._model.ovs import OvsBridge, OvsPort
from ansible_collections.pipework.containers.plugins.module_utils._model.packet_filter import FilterRule, SpoofCheck
from ansible_collections.pipework.containers.plugins.module_utils._model.sysctl import Sysctl

PLACES = (HOST, "netns:a", "docker:b")
NAMES = ("eth0", "eth1", "pw1")
OWNERS = (None, UNFINISHED, "pipework:auto", "pipework:netns:a:1:eth1")
MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")
HOSTS = ("10.0.0.1", "10.0.0.2", "2001:db8::1")


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


SETTINGS = st.dictionaries(st.sampled_from(("stp", "max_age", "mode")), st.sampled_from((0, 1, "bridge", "passthru")))
OPTIONS = st.dictionaries(st.sampled_from(("isolated", "hairpin")), st.booleans())
NICS = st.builds(Nic, st.sampled_from(NAMES), st.just(1500), st.sampled_from(MACS), st.booleans())


@st.composite
def links(draw: st.DrawFn, whole: bool) -> Link:
    kind = draw(st.sampled_from(("veth", "bridge", "macvlan", "dummy", "phys", "nic")))
    part = (lambda s: s) if whole else maybe
    return Link(
        draw(st.sampled_from(PLACES)),
        draw(st.sampled_from(NAMES)),
        type=draw(part(st.just(kind))),
        mac=draw(part(st.sampled_from(MACS))),
        mtu=draw(part(st.sampled_from((1400, 1500)))),
        up=draw(part(st.booleans())),
        owner=draw(st.sampled_from(OWNERS)),
        parent=draw(maybe(st.sampled_from(NAMES))) if kind in ("macvlan", "phys") else None,
        settings=draw(maybe(SETTINGS)),
        peer=draw(maybe(st.sampled_from(NAMES))),
        nic=draw(maybe(NICS)),
    )


@st.composite
def ports(draw: st.DrawFn, whole: bool) -> Port:
    part = (lambda s: s) if whole else maybe
    guest = f"{draw(st.sampled_from(PLACES))}/{draw(st.sampled_from(NAMES))}"
    return Port(
        HOST,
        guest,
        local_interface=draw(part(st.sampled_from(NAMES))),
        bridge=draw(maybe(st.sampled_from(NAMES))),
        mtu=draw(part(st.sampled_from((1400, 1500)))),
        up=draw(part(st.booleans())),
        owner=draw(st.sampled_from(OWNERS)),
        settings=draw(maybe(OPTIONS)),
        vlans=draw(maybe(st.sampled_from((("1 pvid untagged",), ("10 pvid untagged", "200-210"))))),
    )


@st.composite
def addresses(draw: st.DrawFn) -> Address:
    return Address(
        draw(st.sampled_from(PLACES)),
        draw(st.sampled_from(NAMES)),
        f"{draw(st.sampled_from(HOSTS))}/24",
        broadcast=draw(st.sampled_from((None, "10.0.0.255"))),
        scope=draw(st.sampled_from((None, 0))),
        flags=draw(st.sampled_from((None, 512))),
    )


@st.composite
def routes(draw: st.DrawFn) -> Route:
    return Route(
        draw(st.sampled_from(PLACES)),
        draw(st.sampled_from((4, 6))),
        draw(st.sampled_from(("default", "10.1.0.0/16"))),
        table=draw(st.sampled_from((254, 0x7077))),
        gateway=draw(maybe(st.sampled_from(HOSTS))),
        device=draw(maybe(st.sampled_from(NAMES))),
        scope=draw(maybe(st.sampled_from((0, 253)))),
        onlink=draw(maybe(st.just(True))),
        protocol=draw(st.sampled_from((None, 3, 112))),
        source=draw(maybe(st.sampled_from(HOSTS))),
        metrics=draw(maybe(st.just((("RTAX_MTU", 1400),)))),
    )


@st.composite
def filters(draw: st.DrawFn) -> FilterRule:
    return FilterRule(HOST, draw(st.sampled_from(NAMES)), draw(st.sampled_from(("iptables-nft FORWARD", "nft ip f c"))))


@st.composite
def sysctls(draw: st.DrawFn) -> Sysctl:
    place, name = draw(st.sampled_from(PLACES)), draw(st.sampled_from(NAMES))
    return Sysctl(place, name, "net.ipv4.conf.IFNAME.arp_ignore", draw(st.sampled_from(("0", "1"))))


@st.composite
def spoof_checks(draw: st.DrawFn, whole: bool) -> SpoofCheck:
    mac = draw(st.sampled_from(("02:00:00:00:00:01", "02:00:00:00:00:02")))
    return SpoofCheck(HOST, draw(st.sampled_from(NAMES)), mac, draw(st.booleans()), not whole and draw(st.booleans()))


@st.composite
def switched(draw: st.DrawFn, whole: bool) -> KernelObject:
    part = (lambda s: s) if whole else maybe
    owner, error = draw(st.sampled_from(OWNERS)), draw(part(st.sampled_from(("", "not set up"))))
    if draw(st.booleans()):
        return OvsBridge(HOST, draw(st.sampled_from(NAMES)), owner, draw(maybe(st.sampled_from(MACS))), error, "netdev")
    vlans = draw(part(st.sampled_from(((), ("10 pvid untagged",)))))
    return OvsPort(
        HOST,
        draw(st.sampled_from(NAMES)),
        draw(part(st.sampled_from(NAMES))),
        vlans,
        draw(part(st.booleans())),
        owner,
        error=error,
        ghost=whole and draw(st.booleans()),
    )


def objects(whole: bool) -> st.SearchStrategy[KernelObject]:
    linux = links(whole) | ports(whole) | addresses() | routes() | filters() | sysctls() | spoof_checks(whole)
    return linux | switched(whole)


def standing(found: list[KernelObject]) -> State:
    """A state in which nothing stands on what is not there."""
    state = {item.key: item for item in found}
    return {key: item for key, item in state.items() if item.carrier is None or item.carrier in state}


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Desired, State]:
    observed = standing(draw(st.lists(objects(whole=True), max_size=14)))
    desired: Desired = {item.key: item for item in draw(st.lists(objects(whole=False), max_size=8))}
    for key in draw(st.lists(st.sampled_from(sorted(observed)), max_size=5)) if observed else ():
        desired[key] = Absent(key)
    return consistent(desired, observed), observed


def consistent(desired: Desired, observed: State) -> Desired:
    """The part of a wish that does not contradict itself."""

    def there(key: Key) -> bool:
        return not isinstance(desired.get(key), Absent) and (key in desired or key in observed)

    kept: Desired = {}
    for key, want in desired.items():
        if isinstance(want, KernelObject):
            carrier = (want.over(observed[key]) if key in observed else want).carrier
            if carrier is not None and not there(carrier):
                continue
        kept[key] = want
    return kept if len(kept) == len(desired) else consistent(kept, observed)


def hanging(keys: set[Key], observed: State) -> set[Key]:
    """These keys and all that stands on them."""
    found = set(keys)
    while True:
        more = {key for key, item in observed.items() if item.carrier in found} - found
        if not more:
            return found
        found |= more


LAW = settings(max_examples=150)


@LAW
@given(scenes())
def test_after_the_plan_nothing_is_left_to_do(scene: tuple[Desired, State]) -> None:
    desired, observed = scene
    after = simulate(observed, reconcile(desired, observed))
    assert reconcile(desired, after) == []
    for key, want in desired.items():
        assert (key in after) == isinstance(want, KernelObject)


@LAW
@given(scenes(), st.randoms(use_true_random=False))
def test_the_order_of_input_never_matters(scene: tuple[Desired, State], chance: random.Random) -> None:
    desired, observed = scene
    wishes, facts = list(desired.items()), list(observed.items())
    chance.shuffle(wishes)
    chance.shuffle(facts)
    plan = reconcile(desired, observed)
    assert reconcile(dict(wishes), dict(facts)) == plan
    keys = [*desired, *observed]
    assert list(view(observed, keys)) == list(view(dict(facts), reversed(keys)))


@LAW
@given(scenes())
def test_B4_every_part_of_a_plan_can_be_taken_back(scene: tuple[Desired, State]) -> None:
    desired, observed = scene
    plan = reconcile(desired, observed)
    for count in range(len(plan) + 1):
        done: Plan = plan[:count]
        assert simulate(simulate(observed, done), undo(done)) == observed


@LAW
@given(scenes())
def test_B11_what_nobody_speaks_of_is_not_touched(scene: tuple[Desired, State]) -> None:
    desired, observed = scene
    plan = reconcile(desired, observed)
    after = simulate(observed, plan)
    reach = hanging(set(desired), observed)
    assert {operation.key for operation in plan} <= reach
    assert {k: v for k, v in after.items() if k not in reach} == {k: v for k, v in observed.items() if k not in reach}


@LAW
@given(scenes())
def test_what_stands_on_a_link_that_is_made_anew_is_kept(scene: tuple[Desired, State]) -> None:
    desired, observed = scene
    after = simulate(observed, reconcile(desired, observed))
    removed = {key for key, want in desired.items() if isinstance(want, Absent)}
    for key in hanging(set(desired), observed) - hanging(removed, observed) - set(desired):
        assert after[key] == observed[key]


@LAW
@given(scenes())
def test_operations_fit_the_state_that_they_meet(scene: tuple[Desired, State]) -> None:
    """What is created is not there yet, what is changed or deleted is there as the operation says."""
    desired, observed = scene
    state = dict(observed)
    for operation in reconcile(desired, observed):
        assert state.get(operation.key) == operation.before
        state = simulate(state, [operation])
        carrier = operation.after.carrier if operation.after else None
        assert carrier is None or carrier in state


@LAW
@given(scenes())
def test_only_what_goes_with_its_carrier_is_implied(scene: tuple[Desired, State]) -> None:
    desired, observed = scene
    plan = reconcile(desired, observed)
    deleted = {operation.key for operation in plan if operation.action == "delete"}
    for operation in plan:
        if operation.implied:
            assert operation.action == "delete"
            assert operation.subject.carrier in deleted


@LAW
@given(st.lists(objects(whole=True), max_size=10))
def test_absent_of_nothing_is_nothing(found: list[KernelObject]) -> None:
    assert reconcile({item.key: Absent(item.key) for item in found}, {}) == []


@LAW
@given(st.lists(objects(whole=True), max_size=14))
def test_absent_of_all_leaves_nothing(found: list[KernelObject]) -> None:
    observed = standing(found)
    assert simulate(observed, reconcile({key: Absent(key) for key in observed}, observed)) == {}


@LAW
@given(objects(whole=False), objects(whole=True))
def test_over_settles_every_difference(want: KernelObject, have: KernelObject) -> None:
    if type(want) is not type(have):
        return
    have = dataclasses.replace(have, **{field: getattr(want, field) for field in want.IDENTITY if field != "metric"})
    assert not want.differences(want.over(have))
