# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""cake: a shaper with fair queueing."""
from __future__ import annotations

from ..spec import flat
from ..units import FLAG, MICROSECONDS, NUMBER32, RATE, SIGNED, SIZE, choice

DIFFSERV = ("diffserv3", "diffserv4", "diffserv8", "besteffort", "precedence")
FLOWS = ("flowblind", "srchost", "dsthost", "hosts", "flows", "dual-srchost", "dual-dsthost", "triple-isolate")

KIND = flat({
    "bandwidth": (2, "uint64", RATE), "diffserv": (3, "uint32", choice(*DIFFSERV)),
    "atm": (4, "uint32", choice("noatm", "atm", "ptm")), "flow_mode": (5, "uint32", choice(*FLOWS)),
    "overhead": (6, "int32", SIGNED), "rtt": (7, "uint32", MICROSECONDS), "autorate_ingress": (9, "uint32", FLAG),
    "memlimit": (10, "uint32", SIZE), "nat": (11, "uint32", FLAG), "wash": (13, "uint32", FLAG),
    "mpu": (14, "uint32", NUMBER32), "ingress": (15, "uint32", FLAG),
    "ack_filter": (16, "uint32", choice("no-ack-filter", "ack-filter", "ack-filter-aggressive")),
    "split_gso": (17, "uint32", FLAG), "fwmark": (18, "uint32", NUMBER32),
}, kernel="CONFIG_NET_SCH_CAKE")
