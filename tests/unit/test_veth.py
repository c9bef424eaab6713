# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""B7: a cable between two containers, as options and as a plan."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._attach.options import (
    Attachment,
    attachments_from_params,
)
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._core.plan import (
    Absent,
    Desired,
    State,
    reconcile,
    simulate,
    undo,
)
from ansible_collections.pipework.containers.plugins.module_utils._model.objects import Address, Link, pair_end


def ends(**params: Any) -> list[Attachment]:
    return attachments_from_params(params)


def test_B7_the_peer_is_an_item_of_its_own_and_follows() -> None:
    near, far = ends(container="web1", runtime="docker", mtu=1400, peer={"container": "db1", "interface": "x"})
    assert (near.kind, far.kind, near.far, far.far) == ("veth", "veth", False, True)
    assert near.peer == far and near.host_interface is None
    assert (far.container, far.interface, far.runtime, far.mtu) == ("db1", "x", "docker", 1400)
    assert far.where == "peer: "


@pytest.mark.parametrize(
    ("near", "peer", "runtime"),
    [
        ({"runtime": "podman", "runtime_user": "joe"}, {}, ("podman", "joe")),
        ({"runtime": "podman", "runtime_user": "joe"}, {"runtime": "lxc"}, ("lxc", None)),
        ({}, {}, ("auto", None)),
    ],
)
def test_B7_the_peers_runtime_is_that_of_the_attachment(
    near: dict[str, Any], peer: dict[str, Any], runtime: tuple[str, str | None]
) -> None:
    far = ends(container="web1", **near, peer={"container": "db1", **peer})[1]
    assert (far.runtime, far.runtime_user) == runtime


def test_B7_an_interface_can_be_the_end_of_one_cable() -> None:
    items = [{"container": name, "peer": {"container": "hub"}} for name in ("web1", "db1")]
    with pytest.raises(PipeworkError, match=r"attachments\[1\]: peer: interface: hub/eth1 is listed twice"):
        ends(attachments=items)


@pytest.mark.parametrize(
    ("mark", "end"),
    [
        ("pipework:docker:web1:1:eth1|veth", "veth"),
        ("pipework:docker:web1:1:eth1|peer", "peer"),
        ("pipework:docker:web1:1:eth1", None),
        ("pipework:docker:web1:1:eth1|x|peer", None),
        ("pipework:docker:web1:1:eth1|other", None),
        (None, None),
    ],
)
def test_B7_marks_of_ends(mark: str | None, end: str | None) -> None:
    assert pair_end(mark) == end


def pair(near: str, far: str, **more: Any) -> tuple[Link, Link]:
    return (
        Link(*near.split("/"), type="pair", parent=far, up=True, owner="pipework:a|veth", **more),
        Link(*far.split("/"), type="peer", parent=near, up=True, owner="pipework:b|peer", **more),
    )


def state(*items: Any) -> State:
    return {item.key: item for item in items}


def lines(desired: Desired, observed: State) -> list[str]:
    plan = reconcile(desired, observed)
    after = simulate(observed, plan)
    assert reconcile(desired, after) == []
    assert simulate(after, undo(plan)) == observed
    return [f"{operation}{' (implied)' if operation.implied else ''}" for operation in plan]


def test_B7_one_deletion_takes_both_ends_and_what_they_carry() -> None:
    one, other = pair("x:a/eth1", "x:b/eth9")
    have = state(one, other, Address("x:b", "eth9", "10.0.0.1/24"))
    assert lines({one.key: Absent(one.key), other.key: Absent(other.key)}, have) == [
        "delete address x:b/eth9 10.0.0.1/24 (implied)",
        "delete link x:b/eth9 (implied)",
        "delete link x:a/eth1",
    ]


def test_B7_turned_round_it_is_made_anew() -> None:
    one, other = pair("x:a/eth1", "x:b/eth9")
    turned = pair("x:b/eth9", "x:a/eth1")
    assert lines({end.key: end for end in turned}, state(one, other))[:4] == [
        "delete link x:b/eth9 (implied)",
        "delete link x:a/eth1",
        "create link x:b/eth9",
        "create link x:a/eth1",
    ]


def test_B7_an_end_that_becomes_something_else_takes_the_pair_away_first() -> None:
    one, other = pair("x:a/eth1", "x:b/eth9")
    instead = Link("x:b", "eth9", type="dummy", up=True)
    assert lines({one.key: Absent(one.key), other.key: instead}, state(one, other))[:3] == [
        "delete link x:b/eth9 (implied)",
        "delete link x:a/eth1",
        "create link x:b/eth9",
    ]
