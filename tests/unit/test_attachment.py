# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The options of pipework_attach: what they mean, and the words for what cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._attach.options import (
    Attachment,
    attachments_from_params,
    host_interface_of,
)
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._jobs.attach import AttachJob


def one(**params: Any) -> Attachment:
    return Attachment.from_params({"container": "web1", "host_interface": "br1", **params})


def many(*items: dict[str, Any], **defaults: Any) -> list[Attachment]:
    return attachments_from_params({"host_interface": "br1", "attachments": list(items), **defaults})


def test_P1_P5_defaults() -> None:
    found = one(addresses=["192.168.1.1/24"])
    assert (found.interface, found.kind, found.runtime, found.state) == ("eth1", "auto", "auto", "present")
    assert found.addresses == ("192.168.1.1/24",)
    assert (found.append, found.announce, found.forwarding) == (False, True, "auto")
    assert found.local_interface is found.mac_address is found.mtu is found.gateway is found.mode is None


def test_P11_no_addresses_and_addresses_that_are_not_managed_are_two_things() -> None:
    assert one().addresses is None
    assert one(addresses=[]).addresses == ()
    assert one(addresses=["0/0"]).addresses == ()


def test_an_option_that_a_template_left_empty_is_not_given() -> None:
    found = one(mac_address="", mtu="", local_interface="", addresses=[""], gateway=[""], mode="")
    assert found.mac_address is found.mtu is found.local_interface is found.mode is None
    assert (found.addresses, found.gateway) == ((), ())


def test_P20_the_gateway_of_a_lease_and_none_at_all() -> None:
    found = one(dhcp="builtin", gateway=["dhcp", "fe80::1"])
    assert (found.gateway, found.gateway_dhcp) == (("fe80::1",), True)
    assert found.asked_gateways == [("fe80::1", 6), ("dhcp", 4)]
    for none in ([], [""], ["[]"]):  # as 'gateway=' and 'gateway=[]' of key=value arrive
        assert (one(gateway=none).gateway, one(gateway=none).gateway_dhcp) == ((), False)


def test_P7_both_families_and_a_gateway_for_each() -> None:
    found = one(addresses=["192.168.1.1/24", "2001:DB8::1/64"], gateway=["192.168.1.254", "2001:db8::fffe"])
    assert found.addresses == ("192.168.1.1/24", "2001:db8::1/64")
    assert found.gateway == ("192.168.1.254", "2001:db8::fffe")


def test_P14_a_network_card_by_its_address_in_any_letter_case() -> None:
    assert one(host_interface="mac:52:54:00:AB:CD:EF").host_interface == "mac:52:54:00:ab:cd:ef"
    assert host_interface_of({"host_interface": ""}) is None


def test_P26_P27_mac_addresses() -> None:
    assert one(mac_address="02-AA-bb-00-00-01").mac_address == "02:aa:bb:00:00:01"
    assert one(mac_address="U:myhost.foo.com").mac_address == "02:72:6c:cd:9b:8d"


def test_runtime_host_needs_no_container() -> None:
    found = Attachment.from_params({"runtime": "host", "host_interface": "br1"})
    assert found.container is None
    assert found.title == "host/eth1"


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"runtime": "host", "container": "web1"}, "container: 'web1' stands beside 'runtime: host'.*leave one of"),
        ({"runtime": "host", "attachments": [{"container": "web1"}]}, r"attachments\[0\]: container: 'web1' stands"),
        ({"attachments": [{"runtime": "host", "container": "web1"}]}, r"attachments\[0\]: container: 'web1' stands"),
        ({"container": "a", "runtime": "netns", "runtime_user": "joe"}, "runtime_user: netns has no use for it .'joe'"),
        ({"runtime": "host", "runtime_user": "joe"}, "runtime_user: host has no use for it .*docker and podman have"),
        ({"container": "x" * 5000}, "^container: 'x{79}…' has 5000 characters; at most 255 would be right.$"),
    ],
)
def test_who_is_meant_is_said_once(params: dict[str, Any], words: str) -> None:
    with pytest.raises(PipeworkError, match=words):
        attachments_from_params({"host_interface": "br1", **params})


def test_B3_an_item_about_the_host_has_nothing_of_the_tasks_container() -> None:
    tasks = {"container": "web1", "runtime": "podman", "runtime_user": "joe", "host_interface": "br1"}
    found = attachments_from_params(
        {**tasks, "attachments": [{"runtime": "host"}, {"interface": "eth2"}, {"runtime": "netns", "container": "a"}]}
    )
    assert [(each.container, each.runtime, each.runtime_user) for each in found] == [
        (None, "host", None), ("web1", "podman", "joe"), ("a", "netns", None),
    ]  # fmt: skip
    [first, second] = attachments_from_params(
        {"runtime": "host", "attachments": [{"runtime": "netns", "container": "a"}, {"interface": "x"}],
         "host_interface": "br1"}
    )
    assert (first.container, second.container) == ("a", None)


def test_absent_needs_no_host_interface() -> None:
    assert Attachment.from_params({"container": "web1", "state": "absent"}).host_interface is None


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"container": None}, ["container:", "runtime: host"]),
        ({"container": ""}, ["container:"]),
        ({"container": "web\n1"}, ["container: 'web\\n1'", "control"]),
        ({"host_interface": None}, ["host_interface:", "a bridge, a NIC"]),
        ({"host_interface": "much-too-long-bridge"}, ["host_interface: 'much-too-long-bridge'", "15"]),
        ({"host_interface": "br/1"}, ["host_interface: 'br/1'", "'/'"]),
        ({"host_interface": "mac:52:54:00"}, ["host_interface: '52:54:00'", "six pairs"]),
        ({"host_interface": "mac:01:00:5e:00:00:01"}, ["host_interface:", "multicast"]),
        ({"interface": "sixteen-chars-xx"}, ["interface: 'sixteen-chars-xx'", "15"]),
        ({"interface": "a b"}, ["interface: 'a b'", "spaces"]),
        ({"interface": ".."}, ["interface: '..'"]),
        ({"local_interface": "."}, ["local_interface: '.'"]),
        ({"addresses": ["192.168.1.1"]}, ["addresses: '192.168.1.1'", "Maybe you meant 192.168.1.1/24?"]),
        ({"addresses": ["192.168.1.1/33"]}, ["addresses: '192.168.1.1/33'", "1 to 32"]),
        ({"addresses": ["192.168.1.300/24"]}, ["addresses: '192.168.1.300/24'"]),
        ({"mac_address": "01:00:00:00:00:01"}, ["mac_address: '01:00:00:00:00:01'", "multicast"]),
        ({"mac_address": "80:00:02:08:fe:80:00:00"}, ["mac_address: '80:00", "six pairs"]),
        ({"mtu": 67}, ["mtu: 67", "68 to 65535"]),
        ({"mtu": 70000}, ["mtu: 70000", "68 to 65535"]),
        ({"mtu": 1000, "addresses": ["2001:db8::1/64"]}, ["mtu: 1000", "1280"]),
        ({"gateway": ["192.168.1.254/24"]}, ["gateway: '192.168.1.254/24'", "such as"]),
        (
            {"addresses": ["10.0.0.1/24"], "gateway": ["10.0.0.2", "10.0.0.3"]},
            ["gateway: 10.0.0.2, 10.0.0.3", "one gateway for IPv4"],
        ),
        (
            {"addresses": ["2001:db8::1/64"], "gateway": ["2001:db8::2", "2001:db8::3"]},
            ["gateway: 2001:db8::2, 2001:db8::3", "one gateway for IPv6"],
        ),
        (
            {"addresses": ["10.0.0.1/24"], "gateway": ["2001:db8::2"]},
            ["gateway: 2001:db8::2", "no IPv6 address", "add one"],
        ),
        ({"addresses": [], "gateway": ["10.0.0.2"]}, ["gateway: 10.0.0.2", "no IPv4 address"]),
        ({"addresses": ["10.0.0.1/24"], "gateway": ["10.0.0.1"]}, ["gateway: 10.0.0.1", "own address"]),
        ({"addresses": ["10.0.0.1/24"], "gateway": ["10.0.0.255"]}, ["gateway: 10.0.0.255", "broadcast", "router"]),
        ({"addresses": ["10.0.0.1/24"], "gateway": ["10.0.0.0"]}, ["gateway: 10.0.0.0", "network 10.0.0.0/24"]),
        ({"gateway": ["127.0.0.1"]}, ["gateway: '127.0.0.1'", "127.0.0.0/8", "unicast"]),
        ({"gateway": ["dhcp"]}, ["gateway: dhcp", "no lease", "dhcp: builtin"]),
        ({"gateway": ["dhcp", "10.0.0.2"], "dhcp": "builtin"}, ["gateway: 10.0.0.2, dhcp", "one gateway for IPv4"]),
        ({"gateway": ["10.0.0.2"], "gateway_metric": 0}, ["gateway_metric: 0", "from 1 to 4294967295"]),
        ({"gateway": ["10.0.0.2"], "gateway_metric": "many"}, ["gateway_metric: 'many'", "a number"]),
        ({"gateway": ["2001:db8::2"], "gateway_metric": 1024}, ["gateway_metric: 1024", "IPv6", "another one"]),
        ({"gateway_metric": 5}, ["gateway_metric", "no default route", "which gateway"]),
        ({"gateway": [], "dhcp": "builtin", "gateway_metric": 5}, ["gateway_metric", "no default route"]),
        ({"gateway": ["10.0.0.2"], "table": "101", "gateway_metric": 5}, ["gateway_metric", "'table'", "leave one"]),
        ({"kind": "bridge", "mode": "vepa"}, ["mode:", "bridge has no modes"]),
        ({"kind": "macvlan", "mode": "l2"}, ["mode: 'l2'", "bridge, private, vepa, passthru, source"]),
    ],
)
def test_bad_input_is_named_with_its_option_and_what_would_be_right(params: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(PipeworkError) as caught:
        one(**params)
    assert str(caught.value).startswith(words[0])
    for word in words[1:]:
        assert word in str(caught.value)


def test_P7_append_and_addresses_left_alone_allow_a_gateway_of_any_family() -> None:
    assert one(addresses=["10.0.0.1/24"], append=True, gateway=["2001:db8::2"]).gateway == ("2001:db8::2",)
    assert one(gateway=["10.0.0.2"]).gateway == ("10.0.0.2",)


# lists


def test_B3_top_level_options_are_the_defaults_of_each_item() -> None:
    first, second = many({"container": "web1"}, {"container": "web2", "mtu": 1300, "interface": "eth7"}, mtu=1400)
    assert (first.mtu, first.interface, first.where) == (1400, "eth1", "attachments[0]: ")
    assert (second.mtu, second.interface, second.where) == (1300, "eth7", "attachments[1]: ")


def test_an_empty_list_is_no_attachment() -> None:
    assert many() == []


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([{"container": "a"}, {"container": "b", "addresses": ["10.0.0.1"]}], "attachments[1]: addresses: '10.0.0.1'"),
        ([{"container": "a"}, None], "attachments[1]: container:"),
        (
            [{"container": "a"}, {"container": "a"}],
            "attachments[1]: interface: a/eth1 is listed twice (also in attachments[0])",
        ),
        (
            [{"container": "a", "addresses": ["10.0.0.1/24"]}, {"container": "b", "addresses": ["10.0.0.1/16"]}],
            "attachments[1]: addresses: 10.0.0.1 is given to both a/eth1 and b/eth1 on br1",
        ),
        (
            [{"container": "a", "mac_address": "U:x"}, {"container": "b", "mac_address": "U:x"}],
            "attachments[1]: mac_address: 02:",
        ),
        (
            [{"container": "a", "local_interface": "web"}, {"container": "b", "local_interface": "web"}],
            "attachments[1]: local_interface: web is given to both a/eth1 and b/eth1",
        ),
        (
            [{"container": "a", "addresses": ["10.0.0.1/24", "10.0.0.1/16"]}],
            "attachments[0]: addresses: 10.0.0.1 is listed twice for a/eth1",
        ),
    ],
)
def test_clashes_in_a_list_name_the_item(items: list[Any], words: str) -> None:
    with pytest.raises(PipeworkError) as caught:
        many(*items)
    assert str(caught.value).startswith(words)


def test_what_is_no_clash() -> None:
    many({"container": "a"}, {"container": "a", "interface": "eth2"}, {"container": "a", "runtime": "netns"})
    many(
        {"container": "a", "addresses": ["10.0.0.1/24"]},
        {"container": "b", "addresses": ["10.0.0.1/24"], "host_interface": "br2"},
        {"container": "c", "addresses": ["10.0.0.1/24"], "state": "absent"},
        {"container": "d", "addresses": ["10.0.0.1/32"], "host_interface": "dummy"},
        {"container": "e", "addresses": ["10.0.0.1/32"], "kind": "dummy"},
    )


def test_B11_purge_needs_a_list() -> None:
    with pytest.raises(PipeworkError, match=r"^purge: needs 'attachments'"):
        AttachJob({"container": "a", "host_interface": "br1", "purge": True})
    AttachJob({"attachments": [], "purge": True})


@pytest.mark.parametrize(
    ("option", "value", "enough"),
    [
        ("dhcp_hostname", "web1", {"dhcp6": True}),
        ("dhcp_options", ["60=x"], {"dhcp": "builtin"}),
    ],
)
def test_P20_options_of_dhcp_that_would_have_no_effect(option: str, value: Any, enough: dict[str, Any]) -> None:
    one_ = {"container": "a", "host_interface": "br1"}
    listed = [one_, {**one_, "interface": "eth2", option: value}]
    for params, where in (({**one_, option: value}, ""), ({"attachments": listed}, "attachments[1]: ")):
        with pytest.raises(PipeworkError) as caught:
            attachments_from_params(params)
        assert str(caught.value).startswith(f"{where}{option}: "), caught.value
    assert attachments_from_params({**one_, option: value, **enough})
    assert attachments_from_params({**one_, option: value, "state": "absent"})
    assert attachments_from_params({option: value, "attachments": [one_, {**one_, **enough, "interface": "eth2"}]})


def test_P20_how_somebody_asks_may_be_a_default() -> None:
    given = {"host_interface": "br1", "dhcp_timeout": 5, "dhcp_image": "busybox:1", "attachments": [{"container": "a"}]}
    assert attachments_from_params(given)[0].dhcp_timeout == 5


@pytest.mark.parametrize("name", [["eth1"], "a$b", "a;b", "a\\b", "a`b", "(a)", "a\"b", "{x}", "a,b"])
def test_names_of_new_interfaces_are_plain(name: Any) -> None:
    for option in ("interface", "local_interface"):
        with pytest.raises(PipeworkError, match=f"^{option}: .* in it, which no name of a new interface should; .*"):
            one(**{option: name})
    assert one(interface=name, state="absent").interface == str(name)
