# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""pipework_bridge, ports: NICs of the host join a bridge, with their addresses and routes, and come back as they were.

The NIC is the end of a cable whose other end is in the namespace lan.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._jobs.bridge import BridgeJob
from ansible_collections.pipework.containers.plugins.module_utils._netlink.link_down import through
from ansible_collections.pipework.containers.plugins.module_utils._netlink.namespaces import Namespaces
from ansible_collections.pipework.containers.plugins.module_utils._netlink.rtnl import set_link
from tests.integration.lab import Host, Killed, Params, failing_at, killed_at, refusal
from tests.integration.vswitch import VSwitch

pytestmark = pytest.mark.root
MAC = "06:00:00:00:00:01"
MOVE: Params = {"ports": ["nic0"], "move_addresses": True}


class Site:
    """A host with a NIC, nic0, that has addresses and the default routes, and whose bridges are of one kind."""

    def __init__(self, host: Host, kind: str) -> None:
        self.host, self.kind = host, kind
        self.ovs = VSwitch(host) if kind == "openvswitch" else None
        if self.ovs is not None:
            self.ovs.bridge("sw0")  # of somebody else; with it, the datapath's own interface stays
        host.sh("ip", "link", "add", "nic0", "address", MAC, "type", "veth", "peer", "name", "nic0", "netns", "lan")
        host.batch("""
            link set nic0 up alias uplink|to_the|lan
            address add 203.0.113.9/24 brd + dev nic0
            address add 203.0.113.10/24 brd + dev nic0
            address add 10.77.0.1/32 dev nic0
            address add fd08::9/64 dev nic0
            route add default via 203.0.113.254 src 203.0.113.9
            route add 10.50.0.0/16 via 203.0.113.253 metric 7
            route add 10.51.0.0/16 dev nic0
            route add 10.52.0.0/16 table 77 nexthop via 203.0.113.253 nexthop via 203.0.113.254
            route add default via fd08::fe
            rule add iif nic0 to 10.54.0.0/16 lookup 78 priority 500
            rule add iif nic0 lookup 77 priority 500
            rule add oif nic0 fwmark 7/0xff uidrange 5-6 lookup 77 priority 502 protocol static
        """)
        for rule in ("iif nic0 lookup 77 priority 500", "from fd09::/64 oif nic0 blackhole priority 503"):
            host.sh("ip", "-6", "rule", "add", *rule.split())
        host.batch(
            "link set nic0 up\naddress add 203.0.113.254/24 dev nic0\naddress add fd08::fe/64 dev nic0", ns="lan"
        )

    def bridge(self, name: str | None = "br1", **params: Any) -> dict[str, Any]:
        switched = self.ovs is not None and params.get("state") != "absent"
        more = {"datapath": "netdev"} if switched else {}
        return self.host.run(job=BridgeJob, name=name, **{"kind": self.kind, **more, **params})

    def sure(self, **params: Any) -> dict[str, Any]:
        """A check run, the run, and a second one, which must agree."""
        planned = self.bridge(check=True, **params)
        done = self.bridge(**params)
        assert planned["operations"] == done["operations"]
        again = self.bridge(**params)
        assert not again["changed"], again["operations"]
        return done

    def everything(self) -> dict[str, Any]:
        return {**self.host.snapshot(), "ovs": self.ovs.snapshot() if self.ovs else None}

    def assert_as(self, before: dict[str, Any], what: str = "") -> None:
        assert (self.ovs.snapshot() if self.ovs else None) == before["ovs"], what
        self.host.assert_as({name: part for name, part in before.items() if name != "ovs"}, what)

    def rules(self) -> list[str]:
        return [*self.host.sh("ip", "-d", "rule").splitlines(), *self.host.sh("ip", "-d", "-6", "rule").splitlines()]

    def routes(self) -> list[str]:
        """All but those that the kernel makes itself."""
        words = (("-4", "route", "show", "table", "all"), ("-6", "route", "show", "default"))
        found = [route for each in words for route in self.host.routes(None, *each)]  # type: ignore[arg-type]
        return sorted(route for route in found if "proto kernel" not in route and "table local" not in route)


@contextlib.contextmanager
def site_of(kind: str) -> Iterator[Site]:
    host = Host("a", "lan")
    found = None
    try:
        found = Site(host, kind)
        yield found
    finally:
        if found is not None and found.ovs is not None:
            found.ovs.close()
        host.close()


@pytest.fixture(params=["linux", "openvswitch"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with site_of(request.param) as found:
        yield found


@pytest.fixture
def linux() -> Iterator[Site]:
    with site_of("linux") as found:
        yield found


def on_the_line(site: Site) -> bool:
    return site.host.ping(None, "203.0.113.254") and site.host.ping(None, "fd08::fe")


def test_P1_B2_a_nic_joins_with_its_addresses_and_routes_and_comes_back(site: Site) -> None:
    before, routes, rules = site.everything(), site.routes(), site.rules()
    site.host.sh("ip", "rule", "add", "iif", "br1", "lookup", "79", "priority", "400")  # the bridge's own, soon
    done = site.sure(addresses=["10.8.0.254/24"], **MOVE)
    assert not done.get("warnings")
    its_own = [rule for rule in site.rules() if rule.startswith("400:")]
    assert [rule.replace(" [detached]", "") for rule in site.rules() if rule not in its_own] == [
        rule.replace("nic0", "br1") for rule in rules
    ]
    assert done["bridges"][0]["ports"] == ["nic0"]
    assert done["bridges"][0]["mac_address"] == MAC
    assert site.host.addresses("nic0") == []
    moved = ["10.77.0.1/32", "203.0.113.10/24", "203.0.113.9/24", "fd08::9/64"]
    assert site.host.addresses("br1") == sorted(["10.8.0.254/24", *moved])
    assert site.routes() == sorted(route.replace("dev nic0", "dev br1") for route in routes)
    assert on_the_line(site)
    site.host.attach("a", host_interface="br1", addresses=["203.0.113.11/24"])
    assert site.host.ping("a", "203.0.113.254") and site.host.ping("lan", "203.0.113.11")
    assert not site.bridge()["changed"], "what is not said is left alone"
    site.host.attach("a", host_interface="br1", state="absent")
    site.host.run(runtime="netns", attachments=[], purge=True)  # that is about containers
    assert on_the_line(site)
    site.sure(ports=[], addresses=["10.8.0.254/24"])
    assert site.host.addresses("br1") == ["10.8.0.254/24"]
    assert site.routes() == routes
    assert [rule for rule in site.rules() if not rule.startswith("400:")] == rules
    assert "iif br1" in its_own[0] and len(its_own) == 1 and any("iif br1" in rule for rule in site.rules())
    site.host.sh("ip", "rule", "del", "priority", "400")
    site.sure(addresses=[], **MOVE)
    site.bridge(state="absent")
    site.assert_as(before)
    assert site.rules() == rules
    assert on_the_line(site)


def test_rules_of_two_nics_and_of_one_priority(linux: Site) -> None:
    host = linux.host
    host.batch("""
        link add nic1 type veth peer name nic1 netns lan
        rule add iif nic0 oif nic1 lookup 77 priority 510
        rule add iif nic1 lookup 80 priority 511
        rule add iif nic0 lookup 81 priority 512
        rule add from 10.3.0.0/16 lookup 82 priority 512
    """)
    before = linux.rules()
    said = linux.sure(ports=["nic0", "nic1"], move_addresses=True)
    assert said["warnings"] == [
        "The rule of policy routing 'from all iif br1 lookup 81' stands behind the others of its priority 512 now, "
        "such as 'from 10.3.0.0/16 lookup 82': give each a priority of its own."
    ]
    shown = "\n".join(linux.rules())
    assert "nic" not in shown and "510:\tfrom all iif br1 oif br1 lookup 77" in shown and "iif br1 lookup 80" in shown
    linux.sure(ports=["nic1"], move_addresses=True)
    shown = "\n".join(linux.rules())
    assert "510:\tfrom all iif nic0 oif br1 lookup 77" in shown and "iif br1 lookup 80" in shown
    linux.sure(ports=["nic0", "nic1"], move_addresses=True)
    linux.bridge(state="absent")
    assert sorted(linux.rules()) == sorted(before)


def test_P29_a_trunk_between_two_switches() -> None:
    with site_of("openvswitch") as site:
        site.host.sh("ip", "link", "add", "left", "type", "veth", "peer", "name", "right")
        before = site.everything()
        site.sure(ports=[{"name": "left", "vlan_trunks": ["10-11"]}])
        site.sure(name="br2", ports=["right"])  # all VLANs
        for name, number, bridge in (("a", 1, "br1"), ("lan", 2, "br2")):
            site.host.attach(name, host_interface=bridge, addresses=[f"10.8.0.{number}/24"], vlan=10)
        assert site.host.ping("a", "10.8.0.2")
        site.host.attach("lan", host_interface="br2", addresses=["10.8.0.2/24"], vlan=11)
        assert not site.host.ping("a", "10.8.0.2", seconds=0)
        for name, bridge in (("a", "br1"), ("lan", "br2")):  # both in one that the trunk does not carry
            site.host.attach(name, host_interface=bridge, vlan=20)
        assert not site.host.ping("a", "10.8.0.2", seconds=0)
        site.sure(ports=["left"])  # not said: as it was
        assert not site.host.ping("a", "10.8.0.2", seconds=0)
        site.sure(ports=[{"name": "left", "vlan_trunks": [20]}])
        assert site.host.ping("a", "10.8.0.2")
        for name, bridge in (("a", "br1"), ("lan", "br2")):
            site.host.attach(name, host_interface=bridge, state="absent")
            site.bridge(bridge, state="absent")
        site.assert_as(before)


def test_a_connection_outlives_the_move(linux: Site) -> None:
    def listen() -> socket.socket:
        made = socket.create_server(("203.0.113.254", 7007))
        made.settimeout(10)
        return made

    server = linux.host.sockets(listen, ns="lan")
    client = linux.host.sockets(lambda: socket.create_connection(("203.0.113.254", 7007), timeout=10))
    server.settimeout(10)
    far, _address = server.accept()
    far.settimeout(30)
    client.settimeout(30)
    with server, client, far:
        for number, params in enumerate((MOVE, {"state": "absent"}, MOVE)):
            linux.bridge(**params)
            word = f"word {number}".encode()
            client.sendall(word)
            assert far.recv(100) == word
            far.sendall(word[::-1])
            assert client.recv(100) == word[::-1]


def test_a_nic_without_addresses_and_one_of_somebody_else(linux: Site) -> None:
    host = linux.host
    host.sh("ip", "link", "add", "nic1", "type", "veth", "peer", "name", "nic1", "netns", "lan")
    host.batch("link set nic1 up\naddress add 10.9.0.2/24 dev nic1", ns="lan")
    before = linux.everything()
    linux.sure(ports=["nic1"], addresses=["10.9.0.1/24"])
    assert "UP" in (host.link("nic1") or {})["flags"], "a port has to be up"
    assert host.ping(None, "10.9.0.2")
    host.batch("address add 10.9.0.3/24 dev nic1")
    said = linux.bridge(ports=["nic1"])
    assert not said["changed"]
    assert said["warnings"] == [
        "nic1 is a port of br1 and still has 10.9.0.3/24, which does not work there; "
        "'move_addresses: true' takes it over to the bridge."
    ]
    linux.sure(ports=["nic1"], move_addresses=True)
    assert host.addresses("br1") == ["10.9.0.1/24", "10.9.0.3/24"]
    host.run(job=BridgeJob, bridges=[], purge=True)
    host.batch("address del 10.9.0.3/24 dev nic1")
    linux.assert_as(before)
    # a port that somebody else made stays his
    host.batch("link add br1 type bridge\nlink set br1 up\nlink set nic1 master br1 up")
    before = linux.everything()
    assert not linux.bridge(ports=["nic1"])["changed"]
    linux.bridge(ports=[])
    linux.assert_as(before)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"ports": ["nic0"]}, "ports: the host's default route leads through nic0, .*'move_addresses: true' takes"),
        ({"ports": ["nic9"]}, "ports: the host has no interface nic9"),
        ({"ports": ["br9"]}, "ports: br9 is a bridge itself; a NIC would be right"),
        ({"ports": ["nic2"]}, "ports: nic2 is a port of br9 already; take it out there first"),
        ({"ports": ["pwa"]}, "ports: pwa is a port of br8 already"),
        ({"ports": ["tun9"]}, "ports: tun9 is no Ethernet interface"),
        ({"ports": ["nic3"], "move_addresses": True}, r"move_addresses: nic3 has 10\.9\.3\.1/24 for a time only"),
        ({"ports": ["nic4"], "move_addresses": True}, r"ports: nic4 has more addresses \(40\), or a longer alias"),
        ({"ports": [{"name": "nic4", "vlan": 7}]}, "ports: nic4 has VLANs, but br1 does not tell them apart"),
    ],
    ids=str,
)
def test_what_cannot_be_a_port_is_refused(linux: Site, params: Params, words: str) -> None:
    host = linux.host
    lines = [f"link add nic{n} type veth peer name far{n}\nlink set nic{n} up" for n in (2, 3, 4)]
    lines += ["link add br9 type bridge", "link set nic2 master br9"]
    lines += ["address add 10.9.3.1/24 dev nic3 valid_lft 3000 preferred_lft 3000"]
    lines += [f"address add 10.9.4.{n}/24 dev nic4" for n in range(1, 41)]
    host.batch("\n".join(lines))
    host.sh("ip", "tuntap", "add", "tun9", "mode", "tun")
    host.attach("a", host_interface="br8", local_interface="pwa")
    before = linux.everything()
    with pytest.raises(PipeworkError, match=f"{words}.*Nothing was changed"):
        linux.bridge(**params)
    host.batch("address change 10.9.3.1/24 dev nic3 valid_lft 3000 preferred_lft 3000")  # as it was: less by a second
    found = linux.everything()
    assert found["host"]["links"] == before["host"]["links"]
    assert found["host"]["routes"] == before["host"]["routes"]


@pytest.mark.parametrize("earlier", [None, MOVE], ids=["joins", "leaves"])
def test_B4_failures_and_kills_at_every_operation(site: Site, earlier: Params | None) -> None:
    params = {"state": "absent"} if earlier else MOVE
    base = site.everything()
    if earlier:
        site.bridge(**earlier)
    before = site.everything()
    number = 0
    while (said := refusal(lambda: site.bridge(step=failing_at(number), **params))) is not None:  # noqa: B023
        assert said.endswith(("were taken back; everything is as it was.", "Nothing was changed."))
        site.assert_as(before, f"failed at operation {number}")
        number += 1 if site.ovs is None else 3
    assert number > 8
    assert on_the_line(site)
    for place in range(0, number if site.ovs is None else 0, 3):
        site.bridge(state="absent")
        site.assert_as(base, f"before operation {place}")
        if earlier:
            site.bridge(**earlier)
        with pytest.raises(Killed):
            site.bridge(step=killed_at(place), **params)
        if place % 2:  # it is wanted otherwise now
            site.bridge(state="absent")
            site.assert_as(base, f"killed at operation {place}")
        site.bridge(**params)
        assert not site.bridge(**params)["changed"]
    site.bridge(state="absent")
    site.assert_as(base)


@pytest.mark.parametrize("where", ["a", "b", None])
def test_B19_a_nic_that_carries_macvlans_is_no_port_and_nothing_is_lost(site: Site, where: str | None) -> None:
    """A container's, one of a namespace that nothing is known of, the host's own: said in check mode too."""
    host = site.host
    if where == "a":
        host.attach("a", host_interface="nic0", kind="macvlan", addresses=["203.0.113.1/24"])
        named = "netns:a/eth1 (macvlan in mode bridge)"
    else:
        host.add_guests("b")
        host.sh("ip", "link", "add", "mv9", "link", "nic0", *(["netns", where] if where else []), "type", "macvlan")
        named = "mv9"
    before, routes, rules = site.everything(), site.routes(), site.rules()
    for check in (True, False):
        with pytest.raises(PipeworkError, match=r"ports: nic0 carries .*Nothing was changed") as said:
            site.bridge(check=check, addresses=["10.8.0.254/24"], **MOVE)
        assert named in str(said.value)
    site.assert_as(before)
    assert (site.routes(), site.rules()) == (routes, rules)
    assert on_the_line(site)


def test_B2_what_an_interface_drops_while_it_is_down_comes_back(linux: Site) -> None:
    """For a new name or MAC, which some do not take while they are up: routes, IPv6 addresses, neighbors."""
    host = linux.host
    host.batch(
        "neigh add 203.0.113.77 lladdr 02:00:00:00:00:77 dev nic0 nud permanent\n"
        "neigh add proxy 203.0.113.78 dev nic0\nneigh add fd08::77 lladdr 02:00:00:00:00:77 dev nic0 nud permanent\n"
    )
    looks = (["neigh", "show", "nud", "permanent"], ["neigh", "show", "proxy"])
    before, neighbors = host.snapshot(), [host.sh("ip", *words) for words in looks]

    def change(mac: str) -> str | None:
        with contextlib.closing(Namespaces()) as namespaces:
            netns = namespaces["host"]
            index = netns.index("nic0")
            error = through(netns, index, [set_link(index, mac=mac)], up=True)
            return str(error) if error else None

    assert host.call(change, "06:00:00:00:00:77") is None
    assert (host.link("nic0") or {})["address"] == "06:00:00:00:00:77"
    assert host.call(change, MAC) is None
    host.assert_as(before)
    assert [host.sh("ip", *words) for words in looks] == neighbors
    assert on_the_line(linux)
