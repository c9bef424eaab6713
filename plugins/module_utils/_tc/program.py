# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What goes to the program ``tc``, since no message can be made of it here: a pinned BPF program, for which the kernel
wants an open file. No shell; in the container's network namespace; what came of it is read from the kernel as always.
"""
from __future__ import annotations

from .._core.errors import PipeworkError
from .._host import program
from .._netlink.namespaces import Netns
from .filters import EGRESS, INGRESS, TcFilter, show_protocol
from .units import show_handle

BY_PROGRAM = ("bpf",)  # kinds of filters


def add_filter(item: TcFilter, netns: Netns) -> None:
    """Adds a filter; PipeworkError with the last words of tc."""
    if item.path is None:
        raise PipeworkError(f"where the program of {item.name} is pinned is not known")
    tc = program.which("tc")
    if tc is None:
        raise PipeworkError("the program tc is needed for a filter of kind bpf; install iproute2")
    where = {INGRESS: ["ingress"], EGRESS: ["egress"]}.get(item.parent, ["parent", show_handle(item.parent)])
    argv = [
        tc, "filter", "add", "dev", item.device, *where, "protocol", show_protocol(item.protocol),
        "prio", str(item.priority), *(["chain", str(item.chain)] if item.chain else []),
        item.kind, "object-pinned", item.path, *(["direct-action"] if item.selector.endswith(" direct-action") else []),
        *(["classid", show_handle(item.classid)] if item.classid else []),
    ]
    done = netns.inside(lambda: program.run(*argv))
    if done.code != 0:
        raise PipeworkError(f"tc says: {done.said}")
