# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Kind openvswitch: the veth pair of kind bridge, with the host's end as a port of an Open vSwitch bridge."""
from __future__ import annotations

import typing as t

from ..._core.normalize import stable_mac
from ..._core.plan import Absent, KernelObject
from ..._model import vlans as model_vlans
from ..._model.objects import HOST, OWNER_AUTO, Port, owner_fields
from ..._model.ovs import OvsBridge, OvsPort, Switch, VlanBridge, no_datapath
from ..._ovs.tables import check_name
from ..site import Site
from ..spoof_checks import OPTION as MAC_SPOOF_CHECK
from ..spoof_checks import checked_mac
from .bridge import pair

OPTIONS = ("isolated",)  # of a port; Open vSwitch has no others of these


def wanted(site: Site) -> t.Iterator[KernelObject | Absent]:
    item, facts = site.item, site.facts
    if facts.switch is None:
        raise item.refuse(f"host_interface: {item.host_interface}: {facts.no_switch}")
    options = dict(item.port or ())
    for name in options:
        if name not in (*OPTIONS, MAC_SPOOF_CHECK):
            raise item.refuse(f"port: Open vSwitch has no option {name} for a port; {', '.join(OPTIONS)} it has.")
    if checked_mac(site) is not None:  # also where it was switched on before, on another kind of bridge
        raise item.refuse(f"port: {MAC_SPOOF_CHECK} is not possible on Open vSwitch; say false, or use a Linux bridge.")
    bridge = str(item.host_interface)
    if bridge.startswith("mac:"):
        bridge = site.parent().name
    of_vlan = facts.switch.vlan_bridges.get(bridge)
    row = _bridge(site, facts.switch, of_vlan.parent if of_vlan else bridge)
    yield row
    vlans = item.vlans if of_vlan is None else _in_vlan(site, bridge, of_vlan)
    for each in pair(site, facts.host.get(bridge), bridge=""):
        yield each
        if isinstance(each, Port):
            name = str(each.local_interface)
            _check_port(site, facts.switch, name)
            have = facts.switch.ports.get(name)
            if vlans is None and have is not None and have.vlan_bridge:
                vlans = ()  # it leaves that VLAN with its bridge
            yield OvsPort(
                HOST, name, bridge=row.bridge, vlans=vlans, isolated=options.get("isolated"), owner=site.owner,
                container=site.ident, error="", pid=facts.pids.get(site.label), vlan_bridge=bridge if of_vlan else "",
            )


def _in_vlan(site: Site, name: str, of_vlan: VlanBridge) -> tuple[str, ...]:
    """An access port of that VLAN, which is what Open vSwitch makes of any port of such a bridge."""
    item = site.item
    stands_for = f"{name} is the bridge of VLAN {of_vlan.vlan} of {of_vlan.parent}"
    for option, value in (("vlan_trunks", item.vlan_trunks), ("vlan", item.vlan)):
        if value is not None and value != of_vlan.vlan:
            said = ", ".join(model_vlans.tagged(value)) if isinstance(value, tuple) else value
            raise item.refuse(
                f"{option}: {said}: {stands_for}, and its ports have no other VLAN; leave the option out, or attach to "
                f"{of_vlan.parent}."
            )
    return model_vlans.spell({of_vlan.vlan: model_vlans.PVID | model_vlans.UNTAGGED})


def _bridge(site: Site, switch: Switch, name: str) -> OvsBridge:
    item = site.item
    known = switch.bridges.get(name)
    if known is None:
        if name in site.facts.host:
            what = site.facts.host[name].type or "a network card"
            raise item.refuse(f"host_interface: {name} is not a bridge of Open vSwitch but {what}.")
        check_name(name, item.where + "host_interface")
        # A MAC of its own, or the bridge would take the lowest of its ports' and change it as they come and go.
        mac = stable_mac("bridge", site.facts.host_seed, name)
        return OvsBridge(HOST, name, owner=OWNER_AUTO, mac=mac, error="")
    if known.error and known.datapath in ("", "system"):
        raise item.refuse(f"host_interface: the bridge {name} does not work ({known.error}); {no_datapath(name)}.")
    if known.error:
        raise item.refuse(f"host_interface: the bridge {name} does not work: {known.error}.")
    return OvsBridge(HOST, name)


def _check_port(site: Site, switch: Switch, name: str) -> None:
    """The name may be that of a port already: of this attachment, or of one that is dead."""
    check_name(name, site.item.where + "local_interface")
    known = switch.ports.get(name)
    if known is None and name not in switch.bridges:
        return
    dead = name not in site.facts.host and known is not None and owner_fields(known.owner) is not None
    if known is None or not (dead or known.owner == site.owner):
        where = f" on {known.bridge}" if known is not None else ""
        raise site.item.refuse(
            f"local_interface: {name} is a port of Open vSwitch{where} that is not ours. Choose another name or leave "
            "it out."
        )
