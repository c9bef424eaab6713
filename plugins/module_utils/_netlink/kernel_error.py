# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What the kernel objects to in a netlink request."""
from __future__ import annotations

import os
import struct

NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x100, 0x200
NLMSGERR_ATTR_MSG = 1


class KernelError(OSError):
    """The kernel's answer to one request: errno, and its own words where it has any."""

    def __str__(self) -> str:
        return str(self.strerror) if self.filename is None else f"{self.strerror} ({self.filename})"


def error_of(raw: bytes, flags: int) -> KernelError | None:
    number = -struct.unpack_from("=i", raw, 16)[0]
    if number == 0:
        return None
    words = None
    if flags & NLM_F_ACK_TLVS:
        # An error carries the request back in full; an acknowledgement, or a capped one, its header alone.
        at = 20 + (16 if flags & NLM_F_CAPPED else (struct.unpack_from("=I", raw, 20)[0] + 3) & ~3)
        while at + 4 <= len(raw):
            length, kind = struct.unpack_from("=HH", raw, at)
            if length < 4:
                break
            if kind & 0x3FFF == NLMSGERR_ATTR_MSG:
                words = raw[at + 4:at + length].rstrip(b"\0").decode("utf-8", "replace")
            at += (length + 3) & ~3
    return KernelError(number, os.strerror(number), words)
