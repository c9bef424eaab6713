# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What some kernels refuse, or refuse at first, and how it can be had all the same."""
from __future__ import annotations

import dataclasses
import errno
import typing as t

from .._core.normalize import hashed_name
from .._core.plan import Operation
from .._model.objects import HOST, STAND_IN, Link, Port, Route
from .._netlink import rtnl
from .._netlink.kernel_error import KernelError
from .._netlink.namespaces import Namespaces
from .requests import REQUESTS, create_link
from .rtnetlink import Detour, sort_of


def second_try(operation: Operation, error: KernelError, namespaces: Namespaces) -> KernelError | None:
    """The way round what some kernels refuse; returns the error that is left."""
    detour = DETOURS.get((sort_of(operation), error.errno))
    if detour is None:
        return error
    return detour(operation, error, namespaces)


def _under_another_name(operation: Operation, _error: KernelError, namespaces: Namespaces) -> KernelError | None:
    """Kernels before 6.15 look for the name on the host too: make it under a name of its own, then rename it inside."""
    link = t.cast(Link, operation.after)
    if link.ns == HOST or (link.type == "veth" and link.peer is None):
        return _error
    stand_in = hashed_name(STAND_IN, link.ns, link.ifname)
    [(ns, message)] = create_link(None, dataclasses.replace(link, ifname=stand_in), namespaces)
    [error] = namespaces[ns].send([message])
    if error is not None:
        return error
    netns = namespaces[link.ns]
    index = netns.index(stand_in)
    netns.forget(stand_in)
    [error] = netns.send([rtnl.set_link(index, name=link.ifname)])
    if error is not None:
        netns.send([rtnl.delete_link(index)])
    return error


def _while_down(operation: Operation, error: KernelError, namespaces: Namespaces) -> KernelError | None:
    """A new name or MAC that an interface does not take while it is up. What it drops meanwhile comes back. For
    nothing else does an interface go down: what is busy otherwise is so because of others."""
    from .._netlink import link_down  # which few runs need

    ns = HOST if isinstance(operation.subject, Port) else operation.subject.ns
    old, new = operation.before, operation.after
    name = None
    if isinstance(old, Port) and isinstance(new, Port):
        name = old.local_interface if old.local_interface != new.local_interface else None
    elif isinstance(old, Link) and isinstance(new, Link):
        name = old.ifname if (old.mac, old.renamed or "") != (new.mac, new.renamed or "") else None
    if name is None:
        return error
    index = namespaces[ns].index(name)
    requests = [message for _ns, message in REQUESTS[sort_of(operation)](old, new, namespaces)]
    return link_down.through(namespaces[ns], index, requests, up=bool(getattr(new, "up", False)))


def _with_its_source(operation: Operation, error: KernelError, namespaces: Namespaces) -> KernelError | None:
    """A new IPv6 address is no source of routes before the kernel has looked for duplicates of it."""
    route = t.cast(Route, operation.after)
    if route.family != 6 or not route.source:
        return error
    from .._neighbour import dad  # which few runs need

    dad.await_source(route.ns, route.source, namespaces)
    [(ns, message)] = REQUESTS[sort_of(operation)](operation.before, route, namespaces)
    return namespaces[ns].send([message])[0]


DETOURS: dict[tuple[tuple[str, str], int | None], Detour] = {
    (("link", "create"), errno.EEXIST): _under_another_name,
    (("port", "update"), errno.EBUSY): _while_down,
    (("link", "update"), errno.EBUSY): _while_down,
    (("renamed", "update"), errno.EBUSY): _while_down,
    (("phys", "update"), errno.EBUSY): _while_down,
    (("nic", "update"), errno.EBUSY): _while_down,
    **{
        ((f"late {kind}", action), errno.EINVAL): _with_its_source
        for kind in ("way", "route") for action in ("create", "update")
    },
}
