# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""ARP frames (RFC 826, 5227): to tell who has an address, and hear that somebody else has it. Pure."""
from __future__ import annotations

import ipaddress
import struct

ETH_P_ARP, ETH_P_IP, ARPHRD_ETHER, ARPOP_REQUEST = 0x0806, 0x0800, 1, 1
HEAD = struct.pack("!HHHBB", ETH_P_ARP, ARPHRD_ETHER, ETH_P_IP, 6, 4)
LINK_LOCAL = bytes((169, 254))
# linux/bpf_common.h: BPF_LD|BPF_W|BPF_ABS, BPF_LD|BPF_H|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET
LOAD, LOAD_HALF, EQUAL, RETURN = 0x20, 0x28, 0x15, 0x06


def packed(address: str) -> bytes:
    return ipaddress.IPv4Address(address).packed


def gratuitous_arp(mac: str, address: str) -> bytes:
    """The frame of RFC 5227's announcement, as the kernel sends it for a link that has come up."""
    hardware, ip = bytes.fromhex(mac.replace(":", "")), packed(address)
    arp = struct.pack("!H", ARPOP_REQUEST) + hardware + ip + b"\0" * 6 + ip
    return b"\xff" * 6 + hardware + HEAD + arp


def rival(frame: bytes, mac: bytes, address: bytes) -> bytes | None:
    """The MAC address of somebody else who says that he has the address (RFC 3927, 2.5)."""
    if len(frame) < 42 or frame[12:20] != HEAD or frame[28:32] != address or frame[22:28] == mac:
        return None
    return frame[22:28]


def rivals_only(mac: bytes, address: bytes) -> tuple[tuple[int, int, int, int], ...]:
    """The same as a filter for a packet socket."""
    high, low = struct.unpack("!IH", mac)
    return (
        (LOAD_HALF, 0, 0, 12), (EQUAL, 0, 11, ETH_P_ARP),
        (LOAD, 0, 0, 14), (EQUAL, 0, 9, ARPHRD_ETHER << 16 | ETH_P_IP), (LOAD_HALF, 0, 0, 18), (EQUAL, 0, 7, 0x0604),
        (LOAD, 0, 0, 28), (EQUAL, 0, 5, int.from_bytes(address, "big")),
        (LOAD, 0, 0, 22), (EQUAL, 0, 2, high), (LOAD_HALF, 0, 0, 26), (EQUAL, 1, 0, low),
        (RETURN, 0, 0, 0x40000), (RETURN, 0, 0, 0),
    )
