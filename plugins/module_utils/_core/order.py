# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What comes when: the order of the rows is the order of the operations. Pure.

Ports join last and a new bridge goes up after them: each end that joins a live bridge floods all that are there.
An old address goes after the new one has come, so that the routes through the interface stay.
Qdiscs and classes, by their depth in the tree: from its root when they come, to its root when they go.
"""
from __future__ import annotations

_TREE = [f"{kind} {depth}" for depth in range(11) for kind in ("qdisc", "class")]
ADDRESS_RANKS = 64
_RANKS = [f"address {rank}" for rank in range(ADDRESS_RANKS)]
RULE_RANKS = 256
_RULES = [f"moved_rule {rank}" for rank in range(RULE_RANKS)]
ORDER: dict[tuple[str, str], int] = {row: place for place, row in enumerate((
    ("watchdog", "delete"),
    ("watchdog", "create"),  # before what it is to take back
    ("watchdog", "update"),
    ("spoof_check", "delete"),
    ("dying", "update"),  # before anything that is finished without it
    ("timer", "delete"),  # before what it would end
    ("tc_filter", "delete"),  # before the class that it leads to
    ("dhcp_keep", "delete"),  # before it is given back
    ("resolver", "delete"),
    ("lease", "delete"),  # while there is somebody to say it to
    ("lease6", "delete"),
    ("masquerade", "delete"),
    ("filter", "delete"),  # while the bridge or port is there that leads to it
    ("ovs_leave", "delete"),  # while its interface is there, and free to be something else
    ("replaced", "delete"),
    ("stray", "delete"),  # its name may be wanted
    ("vxlan", "delete"),  # its number
    ("vf_address", "delete"),  # or the function keeps that address
    ("parted", "update"),  # before it loses a hop with all the others
    ("nic", "delete"),  # leaves for a container, or
    ("phys", "delete"),  # comes home
    ("ovs_first", "create"),  # its interface is the host's
    ("internal", "create"),
    ("bridge", "create"),
    ("uplink", "create"),
    ("uplink", "update"),  # before VLAN links on it go up, and its virtual functions move: neither does otherwise
    ("vlan", "create"),
    ("vxlan", "create"),
    ("link", "create"),
    ("peer", "create"),
    ("half", "create"),
    ("stray", "create"),
    ("phys", "create"),
    ("nic", "create"),
    ("renamed", "update"),  # before what is found by its name
    ("vf", "update"),  # while it is down
    ("sysctl", "create"),  # before the link is up and has addresses
    ("sysctl", "update"),
    ("internal", "update"),
    ("ovs_first", "update"),  # which, taken back, leaves the interface its MTU
    ("vlan", "update"),
    ("vxlan", "update"),
    ("fdb", "create"),
    ("link", "update"),
    ("peer", "update"),
    ("half", "update"),
    ("stray", "update"),
    ("phys", "update"),
    ("late_sysctl", "create"),  # when the mark stands that remembers its old value
    ("late_sysctl", "update"),
    *((kind, "create") for kind in _RANKS),
    ("address", "create"),
    ("address", "update"),
    *((kind, "update") for kind in _RANKS),
    ("nic", "update"),  # is home when it has its addresses
    ("vf_address", "create"),  # when the function has it
    ("way", "create"),  # to a gateway
    ("way", "update"),
    ("kept", "create"),  # before the route of which it is the copy
    ("kept", "update"),
    ("route", "create"),
    ("route", "update"),
    ("filter", "create"),
    ("masquerade", "create"),
    ("masquerade", "update"),
    ("spoof_check", "create"),  # before a frame can pass
    ("spoof_check", "update"),
    ("port", "create"),
    ("port", "update"),
    ("neighbor", "create"),
    ("neighbor", "update"),
    ("nic_record", "delete"),  # when all of it is in its place
    ("spoof_check of a new name", "create"),
    ("spoof_check of a new name", "update"),
    *((kind, "create") for kind in _TREE),
    *((kind, "update") for kind in _TREE),
    ("tc_filter", "create"),
    ("tc_filter", "update"),
    ("timer", "create"),
    ("timer", "update"),
    ("bridge", "update"),
    *((kind, "create") for kind in _RULES),  # when it is remembered where they come from
    *((kind, "delete") for kind in reversed(_RULES)),
    ("moved_way", "update"),  # when both interfaces are up, and have their addresses
    ("moved", "update"),
    ("ovs_bridge", "create"),  # these are one transaction, when all that comes is there and all that goes still is
    ("ovs_port", "create"),
    ("ovs_port", "update"),
    ("ovs_bridge", "update"),
    ("ovs_port", "delete"),
    ("ovs_bridge", "delete"),
    ("ovs_first", "delete"),
    ("port_free", "update"),  # what its mark remembers is done
    *((kind, "delete") for kind in reversed(_TREE)),
    ("fdb", "delete"),
    ("claim", "create"),  # when frames pass, that ask who has that address
    *((f"late {kind}", action) for kind in ("way", "kept", "route") for action in ("create", "update")),
    ("rule", "create"),  # when the table that it leads to has routes, by which it is found again
    ("rule", "delete"),
    ("link_local", "create"),
    ("link_local", "update"),
    ("lease", "create"),  # when frames pass
    ("lease", "update"),
    ("lease6", "create"),
    ("lease6", "update"),
    ("resolver", "create"),  # when the servers can be reached
    ("resolver", "update"),
    ("hosts", "delete"),
    ("hosts", "create"),
    ("hosts", "update"),
    ("dhcp_keep", "create"),  # when there is something to keep
    ("dhcp_keep", "update"),
    ("neighbor", "delete"),
    ("route", "delete"),
    ("kept", "delete"),
    ("way", "delete"),
    ("link_local", "delete"),
    ("address", "delete"),
    *((kind, "delete") for kind in reversed(_RANKS)),
    ("sysctl", "delete"),
    ("port", "delete"),
    ("peer", "delete"),
    ("link", "delete"),
    ("half", "delete"),
    ("vlan", "delete"),
    ("internal", "delete"),
    ("uplink", "delete"),
    ("bridge", "delete"),
    ("file", "create"),
    ("file", "update"),
    ("file", "delete"),
    ("lease_files", "create"),
    ("lease_files", "delete"),
))}
