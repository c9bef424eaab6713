# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Options that would have no effect are refused where somebody says them, and left aside as a task's defaults.

Each option of each module stands here, in one of four ways: it always has an effect (or is the module's own matter),
only some kinds have it, it is accepted for ``module_defaults`` alone, or there are cases in which it is refused.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._attach.modes import wrong_mode
from ansible_collections.pipework.containers.plugins.module_utils._attach.options import (
    KINDS_WITH,
    attachments_from_params,
    check_options,
)
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._core.ineffective import FOR_ALL, RULES
from tests.unit.test_walls import MODULES, PACKAGE

WEB = {"container": "web1", "runtime": "docker"}
PEER = {"container": "db1", "interface": "eth9"}
HOST = {"container": None, "runtime": "host"}
ON_BR1 = {**WEB, "host_interface": "br1"}
WAY = {**WEB, "destination": "10.0.0.0/8", "gateway": "192.0.2.1"}
WAY6 = {**WEB, "destination": "2001:db8::/32", "gateway": "2001:db8:1::1"}
SWITCH = {"name": "br1", "kind": "openvswitch"}

LISTS = {
    "pipework_attach": "attachments", "pipework_bridge": "bridges", "pipework_hosts": "files",
    "pipework_route": "routes", "pipework_rule": "rules", "pipework_shim": "shims", "pipework_tc": "interfaces",
    "pipework_vxlan": "segments", "pipework_wait": "waits",
}
# In which task an option has no effect, and what is said then. An option alone: the others of the task come with it.
IDLE: dict[str, list[tuple[str, dict[str, Any], str]]] = {
    "pipework_attach": [
        ("missing", {**HOST, "host_interface": "br1", "missing": "skip"}, "missing: skip: with 'runtime: host' there"),
        ("dhcp_timeout", {**ON_BR1, "dhcp_timeout": 5}, "dhcp_timeout: 5: without 'dhcp', 'dhcp6' or 'accept_ra'"),
        ("dhcp_image", {**ON_BR1, "dhcp": "builtin", "dhcp_image": "busybox"}, "dhcp_image: busybox: only 'dhcp: dock"),
        ("dhcp_options", {**ON_BR1, "dhcp_options": ["60=a"]}, "dhcp_options: 60=a: without 'dhcp' nobody is asked"),
        ("dhcp_hostname", {**ON_BR1, "dhcp_hostname": "a"}, "dhcp_hostname: a: without 'dhcp' or 'dhcp6' nobody"),
        ("dhcp_keep", {**ON_BR1, "dhcp_keep": True}, "dhcp_keep: without 'dhcp' or 'dhcp6' there is no lease"),
        ("dhcp_dns", {**ON_BR1, "dhcp_dns": True}, "dhcp_dns: without 'dhcp' or 'dhcp6' there is no lease"),
        ("append", {**ON_BR1, "append": True}, "append: true: needs 'addresses'"),
        ("gateway_metric", {**ON_BR1, "gateway_metric": 5}, "gateway_metric: without 'gateway' or 'dhcp' there is no"),
        ("host_interface", {**ON_BR1, "peer": PEER}, "host_interface: br1: beside 'peer' nothing of the host is"),
        ("forwarding", {**ON_BR1, "kind": "macvlan", "forwarding": "accept"}, "forwarding: accept: only kinds bridge"),
        ("force", {**ON_BR1, "force": True}, "force: true: only kinds phys and sriov have it"),
        ("confirm_timeout", {**ON_BR1, "confirm_timeout": 5}, "confirm_timeout: 5: only kinds phys and sriov have it"),
        ("vf", {**ON_BR1, "kind": "macvlan", "vf": 0}, "vf: kind macvlan has no virtual functions"),
        ("purge_on", {**ON_BR1, "purge_on": ["br1"]}, "purge_on: without 'purge: true' nothing is removed"),
        ("bandwidth.burst", {**ON_BR1, "bandwidth": {"burst": "10kb"}}, "bandwidth.burst: '10kb' limits nothing"),
    ],
    "pipework_bridge": [
        ("move_addresses", {"name": "br1", "move_addresses": True}, "move_addresses: true: needs 'ports'"),
        ("rstp", {"name": "br1", "rstp": True}, "rstp: only bridges of Open vSwitch have it"),
        ("fail_mode", {"name": "br1", "fail_mode": "secure"}, "fail_mode: only bridges of Open vSwitch have it"),
        ("datapath", {"name": "br1", "datapath": "netdev"}, "datapath: only bridges of Open vSwitch have it"),
        ("tunnels", {"name": "br1", "tunnels": []}, "tunnels: only bridges of Open vSwitch have it"),
        ("tunnels.port", {**SWITCH, "tunnels": [{"name": "t1", "type": "gre", "remote": "192.0.2.1", "port": 5}]},
         "port: gre has none"),
        ("vlan_filtering", {**SWITCH, "vlan_filtering": True}, "vlan_filtering: a bridge of Open vSwitch has no such"),
        ("default_pvid", {**SWITCH, "default_pvid": 5}, "default_pvid: a bridge of Open vSwitch has no such switch"),
        ("hello_time", {**SWITCH, "rstp": True, "hello_time": 2}, "hello_time: with rstp, Open vSwitch has no such"),
    ],
    "pipework_hosts": [
        ("missing", {**HOST, "entries": [], "missing": "skip"}, "missing: skip: with 'runtime: host' there is no"),
    ],
    "pipework_route": [
        ("missing", {**WAY, **HOST, "missing": "skip"}, "missing: skip: with 'runtime: host' there is no container"),
        ("scope", {**WAY6, "scope": "link"}, "scope: link: only IPv4 has scopes of routes"),
        ("onlink", {**WAY, "onlink": True}, "onlink: needs a gateway and a device"),
        ("nexthops.onlink", {**WEB, "destination": "default", "nexthops": [{"device": "eth1", "onlink": True}]},
         "onlink: needs a gateway and a device"),
        ("encap.ttl", {**WAY, "encap": {"type": "seg6", "segments": ["2001:db8::1"], "ttl": 5}}, "encap.ttl: only"),
        ("encap.mode", {**WAY, "encap": {"type": "mpls", "labels": [5], "mode": "inline"}}, "encap.mode: only type"),
        ("preference", {**WAY, "preference": "high"}, "preference: only IPv6 routes have it"),
        ("source_prefix", {**WAY, "source_prefix": "10.0.0.0/8"}, "source_prefix: only IPv6 has routes by source"),
        ("tos", {**WAY6, "tos": 4}, "tos: only IPv4 has routes by TOS"),
        ("passthrough", {**WAY, "passthrough": True}, "passthrough: needs 'cmd'"),
    ],
    "pipework_rule": [
        ("missing", {**HOST, "table": "100", "missing": "skip"}, "missing: skip: with 'runtime: host' there is no"),
        ("goto", {**WEB, "action": "blackhole", "goto": 9}, "goto: says to which priority, for the action goto"),
        ("table", {**WEB, "action": "blackhole", "table": "9"}, "table: goes with the action lookup"),
        ("l3mdev", {**WEB, "action": "blackhole", "l3mdev": True}, "l3mdev: goes with the action lookup"),
        ("suppress_prefixlength", {**WEB, "action": "blackhole", "suppress_prefixlength": 5},
         "suppress_prefixlength: goes with the action lookup"),
        ("suppress_ifgroup", {**WEB, "action": "blackhole", "suppress_ifgroup": 5},
         "suppress_ifgroup: goes with the action lookup"),
        ("realms", {**WEB, "family": "ipv6", "table": "9", "realms": "1"}, "realms: only IPv4 has them"),
        ("passthrough", {**WEB, "table": "9", "passthrough": True}, "passthrough: needs 'cmd'"),
    ],
    "pipework_shim": [
        ("routes", {"parent": "eth0", "routes": ["10.0.0.0/8"]}, "routes: are those of a shim with addresses of its"),
        ("persistence", {"parent": "eth0", "persistence": "networkd"}, "persistence: goes with 'addresses' of the sh"),
    ],
    "pipework_tc": [
        ("missing", {**HOST, "netem": {"loss": "1%"}, "missing": "skip"}, "missing: skip: with 'runtime: host' there"),
        ("handle", {**WEB, "clsact": {}, "handle": "5:"}, "handle: 5:: what stands at an interface's entry"),
        ("handle", {**WEB, "bandwidth": {"egress": "1mbit"}, "handle": "5:"}, "handle: it is that of a qdisc"),
        ("duration", {**WEB, "clsact": {}, "duration": "9s"}, "duration: it is that of a qdisc at the root"),
        ("bandwidth.burst", {**WEB, "bandwidth": {"burst": "10kb"}}, "bandwidth.burst: '10kb' limits nothing"),
        ("passthrough", {**WEB, "clsact": {}, "passthrough": True}, "passthrough: needs 'cmd'"),
    ],
    "pipework_wait": [
        ("target", {**WEB, "target": "192.0.2.1"}, "target: 192.0.2.1 has no meaning with 'until: up'"),
        ("runtime", {"runtime": "docker"}, "runtime: docker: without 'container' it is about the namespace that the"),
        ("runtime_user", {"runtime": "docker", "runtime_user": "bob"}, "without 'container' it is about the namespace"),
    ],
}
BY_KIND = {"mode", *KINDS_WITH}  # of an attachment
UNUSED = {  # accepted so that module_defaults can set them for all modules, as their documentation says
    name: {"runtime", "runtime_user"} for name in ("pipework_bridge", "pipework_shim", "pipework_vxlan")
}
WHO = "container runtime runtime_user"
ALWAYS: dict[str, str] = {  # whatever else is said, or they are refused together with what they stand beside
    "pipework": "argv cmd commands missing runtime runtime_user",
    "pipework_attach": f"{WHO} interface kind addresses gateway published_ports table routes rules dhcp dhcp6 "
                       "accept_ra link_local mac_address mtu sysctls bandwidth announce peer state purge confirm "
                       "port.isolated port.hairpin port.learning port.mac_spoof_check bandwidth.ingress "
                       "bandwidth.egress peer.container peer.runtime peer.runtime_user peer.interface "
                       "peer.addresses peer.gateway peer.mac_address",
    "pipework_bridge": "name kind addresses mac_address mtu stp forward_delay max_age ageing_time ports masquerade "
                       "forwarding state purge tunnels.name tunnels.type tunnels.remote tunnels.key tunnels.local "
                       "tunnels.vlan tunnels.vlan_trunks",
    "pipework_hosts": f"{WHO} block entries state entries.address entries.names",
    "pipework_route": f"{WHO} destination gateway device metric metrics mtu advmss encap nexthops family protocol "
                      "source type table state cmd purge encap.type encap.labels encap.segments nexthops.gateway "
                      "nexthops.device nexthops.weight nexthops.encap nexthops.encap.type nexthops.encap.labels "
                      "nexthops.encap.ttl nexthops.encap.mode nexthops.encap.segments",
    "pipework_rule": f"{WHO} source destination iif oif fwmark tos ip_protocol source_port destination_port uid_range "
                     "invert action tun_id priority protocol family state cmd purge",
    "pipework_shim": "parent name mode mac_address addresses confirm_timeout confirm state",
    "pipework_tc": f"{WHO} device state force cmd purge mirror bandwidth qdiscs classes filters netem tbf htb hfsc drr "
                   "prio fq fq_codel codel cake red sfq pfifo bfifo clsact ingress bandwidth.ingress bandwidth.egress "
                   "mirror.to_container mirror.to_interface mirror.to_runtime mirror.to_runtime_user mirror.direction",
    "pipework_vxlan": "vni name bridge local remotes device port mtu learning neigh_suppress subnets forwarding state "
                      "purge",
    "pipework_wait": "container interface until timeout",
}
CASES = [(module, *case) for module, cases in IDLE.items() for case in cases]


class Asked(Exception):
    """Instead of a run."""


def handed_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], Any]:
    """What a module gives to the one that runs it: its options, and what reads them."""
    module = importlib.import_module(f"{PACKAGE}.modules.{path.stem}")
    caught: list[Any] = []

    def stand_in(spec: dict[str, Any], job: Any, *_more: Any, **_constraints: Any) -> None:
        caught.extend((spec, job))
        raise Asked

    monkeypatch.setattr(module, "run_module", stand_in)
    with pytest.raises(Asked):
        module.main()
    return caught[0], caught[1]


def names_of(spec: dict[str, Any], many: str | None, inside: str = "") -> set[str]:
    """All options, those inside others with their place. The items of the list take what the task takes."""
    found = set()
    for name, option in spec.items():
        found |= {inside + name} if name != many else set()
        found |= names_of(option.get("options") or {}, None, f"{inside}{name}.") if name != many else set()
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_B14_each_option_has_an_effect_or_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = path.stem
    spec, _job = handed_over(path, monkeypatch)
    parts = {
        "always": set(ALWAYS[module].split()), "unused": UNUSED.get(module, set()),
        "by kind": BY_KIND if module == "pipework_attach" else set(),
        "refused": {option for option, _task, _words in IDLE.get(module, ())},
    }
    for name, part in parts.items():
        for other, also in parts.items():
            assert name == other or not part & also, f"{part & also}: {name} and {other}"
    known = set().union(*parts.values())
    there = names_of(spec, LISTS.get(module))
    assert sorted(there - known) == [], "new options: when do they have no effect?"
    assert sorted(known - there) == [], "these are no options"
    assert set(RULES.get(LISTS.get(module, ""), ())) <= parts["refused"], "a rule without a case"


@pytest.mark.parametrize(("module", "option", "task", "words"), CASES, ids=[f"{c[0][9:]}-{c[1]}" for c in CASES])
def test_B14_an_option_without_effect_is_refused(
    module: str, option: str, task: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    [path] = [each for each in MODULES if each.stem == module]
    spec, job = handed_over(path, monkeypatch)
    if option not in FOR_ALL:
        with pytest.raises(PipeworkError) as caught:
            job(dict(task))
        assert words in str(caught.value)
    many = LISTS[module]
    if option.partition(".")[0] in spec[many]["options"]:
        with pytest.raises(PipeworkError) as caught:
            job({many: [dict(task)]})
        assert f"{many}[0]: " in str(caught.value)
        assert words in str(caught.value)
        job({many: []} if option in FOR_ALL else {many: [], option.partition(".")[0]: task[option.partition(".")[0]]})


@pytest.mark.parametrize("option", sorted(BY_KIND))
def test_B14_what_only_some_kinds_have_is_refused_with_others(option: str) -> None:
    value = {"mode": "l2", "vlan_trunks": [5], "port": {"isolated": True}, "pkey": "0x8001", "vlan": 5}.get(option, "x")
    if option == "mode":
        assert "mode: kind bridge has no modes" in str(wrong_mode("l2", "bridge"))
        return
    [item] = attachments_from_params({**ON_BR1, option: value})
    kind = next(kind for kind in ("dummy", "macvlan", "bridge") if kind not in KINDS_WITH[option])
    with pytest.raises(PipeworkError, match=f"{option}: kind {kind} does not have it"):
        check_options(item, kind)


def test_B14_what_is_a_default_of_a_task_is_of_use_to_some_of_its_items() -> None:
    shared = {"dhcp_timeout": 5, "forwarding": "accept", "host_interface": "br1", "missing": "skip"}
    items = [
        {**WEB, "dhcp": "builtin"}, {**WEB, "interface": "eth2", "kind": "macvlan", "host_interface": "nic0"},
        {"runtime": "host", "interface": "eth3"},
    ]
    [leased, upper, on_host] = attachments_from_params({**shared, "attachments": items})
    assert (leased.dhcp_timeout, upper.forwarding) == (5, "accept")
    assert (leased.missing, on_host.missing) == ("skip", "fail")
    assert check_options(upper, "macvlan") == []
    [said] = attachments_from_params({"attachments": [{**WEB, "host_interface": "nic0", "forwarding": "accept"}]})
    assert check_options(said, "bridge") == []
    with pytest.raises(PipeworkError, match="forwarding: kind macvlan does not have it"):
        check_options(said, "macvlan")  # which shows only when it is known what nic0 is
