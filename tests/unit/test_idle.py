# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Options that would have no effect are refused where somebody says them, and left aside as a task's defaults."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._attach.options import (
    attachments_from_params,
    check_options,
)
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.modules.pipework_attach import ITEM

WEB = {"container": "web1", "runtime": "docker"}
PEER = {"container": "db1", "interface": "eth9"}
IDLE: list[tuple[dict[str, Any], str]] = [
    ({"dhcp_timeout": 5}, "dhcp_timeout: 5: without 'dhcp', 'dhcp6' or 'accept_ra' nobody is waited for"),
    ({"dhcp": "builtin", "dhcp_image": "busybox"}, "dhcp_image: busybox: only 'dhcp: docker' starts a container"),
    ({"dhcp_options": ["60=a"]}, "dhcp_options: 60=a: without 'dhcp' nobody is asked"),
    ({"dhcp_hostname": "a"}, "dhcp_hostname: a: without 'dhcp' or 'dhcp6' nobody is told"),
    ({"append": True}, "append: true: needs 'addresses'"),
    ({"peer": PEER}, "host_interface: br1: beside 'peer' nothing of the host is attached to"),
    ({"kind": "macvlan", "forwarding": "accept"}, "forwarding: accept: only kinds bridge and openvswitch have it"),
    ({"purge_on": ["br1"]}, "purge_on: without 'purge: true' nothing is removed"),
    ({"bandwidth": {"burst": "10kb"}}, "bandwidth.burst: '10kb' limits nothing by itself"),
]


@pytest.mark.parametrize(("options", "words"), IDLE, ids=lambda each: str(each)[:40])
def test_B14_an_option_without_effect_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(PipeworkError) as caught:
        attachments_from_params({**WEB, "host_interface": "br1", **options})
    assert words in str(caught.value)
    if "purge_on" not in options:
        with pytest.raises(PipeworkError) as caught:
            attachments_from_params({"attachments": [{**WEB, "host_interface": "br1", **options}]})
        assert words in str(caught.value)


def test_B14_what_is_a_default_of_a_task_is_of_use_to_some_of_its_items() -> None:
    shared = {"dhcp_timeout": 5, "forwarding": "accept", "host_interface": "br1"}
    items = [{**WEB, "dhcp": "builtin"}, {**WEB, "interface": "eth2", "kind": "macvlan", "host_interface": "nic0"}]
    [leased, upper] = attachments_from_params({**shared, "attachments": items})
    assert (leased.dhcp_timeout, upper.forwarding) == (5, "accept")
    assert check_options(upper, "macvlan") == []
    [said] = attachments_from_params({"attachments": [{**WEB, "host_interface": "nic0", "forwarding": "accept"}]})
    assert check_options(said, "bridge") == []
    with pytest.raises(PipeworkError, match="forwarding: kind macvlan does not have it"):
        check_options(said, "macvlan")  # which shows only when it is known what nic0 is


def test_the_options_here_are_options() -> None:
    assert {name for options, _words in IDLE for name in options} - {"purge_on"} <= set(ITEM)
