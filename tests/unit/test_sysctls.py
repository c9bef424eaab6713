# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The option sysctls: which names and values it takes, and which file they mean."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._model import sysctl


def test_B16_names_and_values_in_one_spelling() -> None:
    given: dict[str, Any] = {
        "net.ipv6.neigh.IFNAME.gc_stale_time": 30,
        "net.ipv4.conf.IFNAME.arp_ignore": True,
        "net.mpls.conf.IFNAME.input": " 1 ",
    }
    assert sysctl.from_option(given) == (
        ("net.ipv4.conf.IFNAME.arp_ignore", "1"),
        ("net.ipv6.neigh.IFNAME.gc_stale_time", "30"),
        ("net.mpls.conf.IFNAME.input", "1"),
    )


@pytest.mark.parametrize(
    "name",
    [
        "net.ipv4.ip_forward",
        "kernel.core_pattern",
        "net.ipv4.conf.IFNAME",
        "net.ipv4.conf.IFNAME.",
        "net.ipv4.conf.IFNAME./../../../../kernel/core_pattern",
        "net.ipv4.conf.IFNAME.arp_ignore\n",
        "net/ipv4/conf/IFNAME/arp_ignore",
        "net.ipv4.tcp.IFNAME.x",
        "",
        7,
    ],
)
def test_B14_other_parameters_are_refused(name: Any) -> None:
    with pytest.raises(
        PipeworkError, match=r"is not a parameter of an interface; net\.ipv4\.conf\.IFNAME\.\*, .* are\."
    ):
        sysctl.from_option({name: 1})


@pytest.mark.parametrize("name", ["all", "default", "eth1", "../../kernel", "a.b"])
def test_B16_the_name_of_an_interface_is_refused(name: str) -> None:
    with pytest.raises(PipeworkError, match=r"net\.ipv4\.conf\.IFNAME\.arp_ignore would be right; IFNAME stands for"):
        sysctl.from_option({f"net.ipv4.conf.{name}.arp_ignore": 1})


@pytest.mark.parametrize("value", ["", None, "1\n2", "é", "x" * 65])
def test_B16_values_that_cannot_be(value: Any) -> None:
    with pytest.raises(PipeworkError, match=r"sysctls: net\.ipv4\.conf\.IFNAME\.arp_ignore: .* cannot be a value"):
        sysctl.from_option({"net.ipv4.conf.IFNAME.arp_ignore": value})


def test_B16_a_device_name_may_hold_dots() -> None:
    assert sysctl.path_of("net.ipv4.conf.IFNAME.arp_ignore", "eth1.10") == "net/ipv4/conf/eth1.10/arp_ignore"


@pytest.mark.parametrize("value", ["abc", "0x10", "010", "1.5", "-0", "4294967296", "-2147483649", "1 2", [1]])
def test_B16_values_that_are_no_numbers(value: Any) -> None:
    why = r"sysctls: net\.ipv4\.conf\.IFNAME\.arp_ignore: .* is not a value .*; a whole number .* would be right\.$"
    with pytest.raises(PipeworkError, match=why):
        sysctl.from_option({"net.ipv4.conf.IFNAME.arp_ignore": value})


def test_B16_numbers_below_zero_and_the_one_parameter_that_is_text() -> None:
    name, secret = "net.ipv6.conf.IFNAME.accept_ra_rt_info_max_plen", "net.ipv6.conf.IFNAME.stable_secret"
    assert sysctl.from_option({name: -1, secret: "fd00::1"}) == ((name, "-1"), (secret, "fd00::1"))
