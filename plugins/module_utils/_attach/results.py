# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What pipework_attach returns of each attachment."""
from __future__ import annotations

import time
import typing as t

from .._core.plan import State
from .._ipam import store as files
from .._ipam.dhcp4_grant import Lease
from .._model import vlans as model_vlans
from .._model.keys import link_key, port_key
from .._model.objects import HOST, TABLE_MAIN, Address, Link, Port, Route, default_metric
from .._model.observed import Facts, named
from .._model.sriov import Vf
from . import dhcp6, slaac
from .announce_new import addresses_of, on_switch
from .context import Target
from .dhcp4 import grant_of
from .dhcp6 import Lease6
from .options import Attachment

KINDS_SHOWN = {"veth": "bridge", "pair": "veth", "peer": "veth"}
OF_A_PEER = ("container", "container_id", "runtime", "interface", "mac_address", "addresses", "gateway")


def result_of(target: Target, state: State, facts: Facts) -> dict[str, t.Any]:
    """One item of the returned ``attachments``; None for what only a real run can tell."""
    item, label = target.item, str(target.label)
    link = t.cast(t.Optional[Link], state.get(link_key(label, item.interface)))
    port = t.cast(t.Optional[Port], state.get(port_key(label, item.interface)))
    vf = link.nic.vf if link and link.nic else None
    through = t.cast("Vf | None", state.get(Vf(HOST, vf.pf, vf.number).key)) if vf else None
    row = on_switch(port, state)
    bridge, vlans = (row.plugged, row.vlans) if row else (port.bridge, port.vlans) if port else (None, None)
    kinds = {**KINDS_SHOWN, "veth": "openvswitch"} if row else KINDS_SHOWN
    carried = [o for o in (state.get(a) for a in addresses_of(item, label, state)) if o is not None]
    table = item.table or TABLE_MAIN
    metrics = [item.gateway_metric or default_metric(v) for v in (4, 6)]
    gateways = [state.get(Route(label, v, "default", table, m).key) for v, m in zip((4, 6), metrics)]
    return {
        "container": target.name, "container_id": target.ident, "runtime": target.runtime,
        "kind": "sriov" if vf else kinds.get(str(link.type), link.type) if link else None, "peer": None,
        "host_interface": vf.pf if vf else bridge or (
            _nic_of(item, link.parent, facts) if link and link.parent and item.kind != "veth" else item.host_interface),
        "local_interface": port.local_interface if port else None, "interface": item.interface,
        "mac_address": link.mac if link else None, "mtu": link.mtu if link else None,
        "addresses": sorted(t.cast(Address, o).address for o in carried),
        "gateway": [g.gateway for g in gateways if isinstance(g, Route) and g.device == item.interface and g.gateway],
        "vlan": model_vlans.native(vlans) if port else through.vlan or None if through else item.vlan,
        "vlan_trunks": model_vlans.tagged(vlans), "lease": _lease(label, item, state, target.owner),
        **_unlisted(label, target, state, facts),
    }


def _unlisted(label: str, target: Target, state: State, facts: Facts) -> dict[str, t.Any]:
    """Addresses from routers' advertisements and the link-local one, where they were asked for."""
    item = target.item
    local = state.get(slaac.link_local_key(label, item.interface))
    routers = slaac.from_routers(item, facts.addresses.get(label, ()))
    return {
        "link_local": local.address if isinstance(local, slaac.LinkLocal) and item.link_local else None,
        "lease6": _lease6(label, item, state, target.owner),
        "slaac": sorted({address.address for address in routers}) if item.accept_ra else [],
    }


def _nic_of(item: Attachment, stands_on: str, facts: Facts) -> str:
    """What ``host_interface`` names."""
    return named(str(item.host_interface), facts) if item.vlan is not None else stands_on


def _lease6(label: str, item: Attachment, state: State, owner: str) -> dict[str, t.Any] | None:
    """The same for IPv6."""
    have, grant = dhcp6.held(label, item.interface, state), dhcp6.grant_of(item, label, state)
    if have is None or grant is None:
        return None
    return {
        "address": f"{grant.address}/128", "server": grant.server, "duid": have.duid, "dns": list(grant.dns),
        "domain": grant.domain, "preferred": _moment(grant.preferred), "expires": _moment(grant.expires),
        "keep": files.kept(owner, Lease6.KIND) if item.dhcp_keep else None,
    }


def _moment(when: float | None) -> str | None:
    """A time of the clock that leases expire by, as one of the day."""
    if when is None:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + when - files.clock()))


def _lease(label: str, item: Attachment, state: State, owner: str) -> dict[str, t.Any] | None:
    """What a DHCP server has granted; None in check mode where only the server can tell."""
    grant = grant_of(item, label, state)
    if grant is None:
        return None
    return {
        "client": item.dhcp, "address": grant.address, "server": grant.server, "router": grant.gateway,
        "routes": [{"destination": to, "gateway": via} for to, via in grant.routes], "mtu": grant.mtu,
        "dns": list(grant.dns), "domain": grant.domain,
        "expires": _moment(grant.expires), "keep": files.kept(owner, Lease.KIND) if item.dhcp_keep else None,
    }
