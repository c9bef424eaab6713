# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Carries out a plan: one operation is one request to the kernel, and what was done is taken back when one fails.

Operations that stand next to each other and are of one sort go out together, in one write for each namespace.
"""
from __future__ import annotations

import dataclasses
import errno
import itertools
import typing as t

from . import _codec, _filter
from ._errors import PipeworkError
from ._model import GROUP, GROUP_DELETE, HOST, UNFINISHED, Address, FilterRule, Link, Nic, Port, Route
from ._netlink import KernelError, Namespaces
from ._plan import Operation, Plan, undo

Step = t.Callable[[Operation], None]
Request = tuple[str, bytes]  # the namespace that it goes to, the message

# What may come back when something is taken back that is so already.
HARMLESS = {
    "create": {errno.EEXIST},
    "update": {errno.ENODEV},
    "delete": {errno.ENODEV, errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL},
}


GONE = HARMLESS["delete"]


class OperationFailed(PipeworkError):
    """One operation that the kernel refused."""

    def __init__(self, operation: Operation, error: Exception) -> None:
        self.number = getattr(error, "errno", None)
        super().__init__(f"{operation} failed: {error}.{_lacking(operation, self.number)}")


def _lacking(operation: Operation, number: int | None) -> str:
    """What to do where the kernel does not know a type of interface."""
    link = operation.subject
    if operation.action != "create" or number != errno.EOPNOTSUPP or not isinstance(link, Link):
        return ""
    return (
        f" This kernel has no interfaces of type {link.type}: it needs CONFIG_{str(link.type).upper()}, "
        f"built in or as a module ('modprobe {link.type}')."
    )


def apply(plan: Plan, namespaces: Namespaces, step: Step | None = None) -> None:
    """Does the whole plan, or leaves the state as it was and says so.

    ``step`` is called before each operation, which then goes out by itself; whatever it raises counts as a failure.
    """
    done: Plan = []
    try:
        for batch in _batches(plan, alone=step is not None):
            if step is not None:
                step(batch[0])
            _execute(batch, namespaces, done)
    except BaseException as error:
        taken_back = take_back(done, namespaces)
        if isinstance(error, Exception):
            known = isinstance(error, (PipeworkError, OSError)) or getattr(error, "expected", False)
            words = getattr(error, "message", str(error))
            if not known:
                words = f"This should not have happened, please report it: {type(error).__name__}: {error}."
            raise PipeworkError(words, taken_back) from error
        raise


def take_back(done: Plan, namespaces: Namespaces) -> str:
    """Undoes operations, last first; returns a sentence about it."""
    left = []
    for batch in _batches(undo(done), alone=False):
        back: Plan = []
        rest: Plan = []
        try:
            _execute(batch, namespaces, back)
        except Exception:  # pylint: disable=broad-except  # then one by one, to see which
            finished = {id(operation) for operation in back}
            rest = [operation for operation in batch if id(operation) not in finished]
        for operation in rest:
            try:
                _execute([operation], namespaces, [])
            except Exception as error:  # pylint: disable=broad-except  # the others are still to be taken back
                if getattr(error, "number", None) not in HARMLESS[operation.action]:
                    left.append(str(error).rstrip("."))
    count = sum(not operation.implied for operation in done)
    if left:
        return f"Of {count} operation(s) done before, these could not be taken back: {'; '.join(left)}."
    if not count:
        return "Nothing was changed."
    return f"The {count} operation(s) done before were taken back; everything is as it was."


def _batches(plan: Plan, alone: bool) -> t.Iterator[Plan]:
    if alone:
        return ([operation] for operation in plan)
    return (list(group) for _sort, group in itertools.groupby(plan, key=_sort))


def _sort(operation: Operation) -> tuple[str, str]:
    return operation.subject.order_kind, operation.action


def _execute(batch: Plan, namespaces: Namespaces, done: Plan) -> None:
    """Does operations of one sort. Those that succeed are added to ``done``, also when others fail."""
    work = [operation for operation in batch if not operation.implied]
    done.extend(operation for operation in batch if operation.implied)
    if not work:
        return
    sort = _sort(work[0])
    if sort[0] == "filter":
        _change_filter(work, done)
    elif sort in (("link", "delete"), ("stray", "delete")):
        _delete_links(work, namespaces, done)
    else:
        _request(work, REQUESTS[sort], namespaces, done)


def _request(
    work: Plan, encode: t.Callable[[t.Any, t.Any, Namespaces], list[Request]], namespaces: Namespaces, done: Plan,
) -> None:
    failures: list[OperationFailed] = []
    outgoing: dict[str, list[tuple[Operation, bytes]]] = {}
    for operation in work:
        try:
            requests = encode(operation.before, operation.after, namespaces)
        except (OSError, PipeworkError) as error:
            if operation.action == "delete" and getattr(error, "errno", None) in GONE:
                done.append(operation)  # it went by itself, with its container
                continue
            failures.append(OperationFailed(operation, error))
            break
        for ns, message in requests:
            outgoing.setdefault(ns, []).append((operation, message))
        if not requests:
            done.append(operation)
    for ns, pairs in outgoing.items():
        if failures:
            break
        errors = namespaces[ns].send([message for _operation, message in pairs])
        for operation, sent in itertools.groupby(zip(pairs, errors), key=lambda entry: entry[0][0]):
            answers = [error for _pair, error in sent]
            wrong = next((error for error in answers if error is not None), None)
            if wrong is not None and operation.action == "delete" and wrong.errno in GONE:
                wrong = None
            if wrong is not None and answers[0] is wrong:
                wrong = _second_try(operation, wrong, namespaces)
            elif wrong is not None:
                done.append(operation)  # a part of it was done
            if wrong is None:
                done.append(operation)
            else:
                failures.append(OperationFailed(operation, wrong))
    if failures:
        raise failures[0]


def _second_try(operation: Operation, error: KernelError, namespaces: Namespaces) -> KernelError | None:
    """The way round what some kernels refuse; returns the error that is left."""
    detour = DETOURS.get((_sort(operation), error.errno))
    if detour is None:
        return error
    return detour(operation, error, namespaces)


# -- links

def _create_link(_before: None, link: Link, namespaces: Namespaces) -> list[Request]:
    target = None if link.ns == HOST else namespaces[link.ns].fd
    parent = namespaces[HOST].index(link.parent) if link.parent else None
    namespaces[link.ns].forget(link.ifname)
    return [(HOST, _codec.new_link(
        link.ifname, str(link.type), mac=link.mac, mtu=link.mtu, settings=link.settings, parent=parent, netns=target,
        peer=link.peer, peer_mac=link.peer_mac,
    ))]


def _update_link(before: Link, after: Link, namespaces: Namespaces) -> list[Request]:
    netns = namespaces[after.ns]
    index = netns.index(after.ifname)
    requests = []
    new = {k: v for k, v in (after.settings or {}).items() if (before.settings or {}).get(k) != v}
    if new.get("stp") is False:  # first, since a bridge with STP on refuses the short delays that one without it takes
        requests.append(_codec.set_link_settings(index, str(after.type), {"stp": new.pop("stp")}))
    if new:
        requests.append(_codec.set_link_settings(index, str(after.type), new))
    fields = [field for field in ("mac", "mtu", "up") if getattr(after, field) != getattr(before, field)]
    change: dict[str, t.Any] = {field: getattr(after, field) for field in fields}
    change.update(_mark(before.owner, after.owner))
    if change:
        requests.append(_codec.set_link(index, **change))
    return [(after.ns, request) for request in requests]


def _mark(before: str | None, after: str | None) -> dict[str, t.Any]:
    """What a change of owner changes on an interface."""
    if before == after:
        return {}
    if after == UNFINISHED:
        return {"group": GROUP}
    return {"alias": after or "", "group": 0}


def _delete_links(work: Plan, namespaces: Namespaces, done: Plan) -> None:
    """Deletes interfaces; several in one namespace together, through a group of their own."""
    by_namespace: dict[str, list[tuple[Operation, int]]] = {}
    for operation in work:
        link = t.cast(Link, operation.before)
        ns, name = (HOST, link.peer) if link.type == "veth" and link.peer else (link.ns, link.ifname)
        try:
            by_namespace.setdefault(ns, []).append((operation, namespaces[ns].index(name)))
        except KernelError as error:
            if error.errno not in GONE:
                raise OperationFailed(operation, error) from None
            done.append(operation)  # it went by itself, with its container
        namespaces[ns].forget(name)
        namespaces[link.ns].forget(link.ifname)
    for ns, pairs in by_namespace.items():
        send = namespaces[ns].send
        last = _codec.delete_group() if len(pairs) > 1 else _codec.delete_link(pairs[0][1])
        grouping = [_codec.set_link(index, group=GROUP_DELETE) for _operation, index in pairs]
        errors = send(grouping) if len(pairs) > 1 else []
        wrong = next((error for error in errors if error is not None and error.errno not in GONE), None)
        if wrong is not None:
            send([_codec.set_link(index, group=0) for _operation, index in pairs])
        else:
            wrong = next((error for error in send([last]) if error is not None and error.errno not in GONE), None)
        if wrong is not None:
            raise OperationFailed(pairs[0][0], wrong)
        done.extend(operation for operation, _index in pairs)


def _delete_bridge(before: Link, _after: None, namespaces: Namespaces) -> list[Request]:
    index = namespaces[before.ns].index(before.ifname)
    namespaces[before.ns].forget(before.ifname)
    return [(before.ns, _codec.delete_link(index))]


# -- NICs that move

def _lend_nic(_before: None, link: Link, namespaces: Namespaces) -> list[Request]:
    name = t.cast(Nic, link.nic).name
    index = namespaces[HOST].index(name)
    namespaces[HOST].forget(name)
    namespaces[link.ns].forget(link.ifname)
    return [(HOST, _codec.set_link(
        index, netns=namespaces[link.ns].fd, name=link.ifname, alias=link.owner, mac=link.mac, mtu=link.mtu,
    ))]


def _return_nic(link: Link, _after: None, namespaces: Namespaces) -> list[Request]:
    nic = t.cast(Nic, link.nic)
    netns = namespaces[link.ns]
    index = netns.index(link.ifname)
    netns.forget(link.ifname)
    namespaces[HOST].forget(nic.name)
    home = None if link.ns == HOST else namespaces[HOST].fd
    return [
        (link.ns, _codec.set_link(index, up=False)),
        (link.ns, _codec.set_link(
            index, netns=home, name=nic.name, mac=nic.mac, mtu=nic.mtu, group=0,
        )),
    ]


def _leave_alone(_before: t.Any, _after: t.Any, _namespaces: Namespaces) -> list[Request]:
    """A NIC comes and goes with the interface that it is in a container."""
    return []


# -- ports

def _set_port(before: Port | None, after: Port, namespaces: Namespaces) -> list[Request]:
    host = namespaces[HOST]
    old = before or Port(after.ns, after.guest, local_interface=after.local_interface)
    index = host.index(str(old.local_interface))
    change = _mark(old.owner, after.owner)
    change.update({f: getattr(after, f) for f in ("mtu", "up") if getattr(after, f) != getattr(old, f)})
    if after.bridge != old.bridge:
        change["master"] = host.index(after.bridge) if after.bridge else 0
    if after.local_interface != old.local_interface:
        host.forget(str(old.local_interface))
        change["name"] = after.local_interface
    return [(HOST, _codec.set_link(index, **change))]


def _unset_port(before: Port, _after: None, namespaces: Namespaces) -> list[Request]:
    return [(HOST, _codec.set_link(namespaces[HOST].index(str(before.local_interface)), master=0))]


# -- addresses and routes

def _create_address(_before: None, after: Address, namespaces: Namespaces) -> list[Request]:
    return [(after.ns, _codec.new_address(after, namespaces[after.ns].index(after.device)))]


def _delete_address(before: Address, _after: None, namespaces: Namespaces) -> list[Request]:
    netns = namespaces[before.ns]
    if ":" not in before.address:
        # Without this the kernel takes the other addresses of the subnet away together with the first one.
        netns.sysctl(f"net/ipv4/conf/{before.device}/promote_secondaries", "1")
    return [(before.ns, _codec.delete_address(before, netns.index(before.device)))]


def _create_route(_before: None, after: Route, namespaces: Namespaces) -> list[Request]:
    return [(after.ns, _codec.new_route(after, namespaces[after.ns].index))]


def _replace_route(_before: Route, after: Route, namespaces: Namespaces) -> list[Request]:
    return [(after.ns, _codec.replace_route(after, namespaces[after.ns].index))]


def _delete_route(before: Route, _after: None, namespaces: Namespaces) -> list[Request]:
    return [(before.ns, _codec.delete_route(before, namespaces[before.ns].index))]


# -- the packet filter

def _change_filter(work: Plan, done: Plan) -> None:
    """One transaction for all rules."""
    add: list[tuple[str, _filter.Place]] = []
    remove: list[tuple[str, _filter.Place]] = []
    for operation in work:
        rule = t.cast(FilterRule, operation.subject)
        (remove if operation.action == "delete" else add).append((rule.bridge, _filter.Place.parse(rule.place)))
    try:
        _filter.change(add, remove)
    except PipeworkError as error:
        raise OperationFailed(work[0], error) from None
    done.extend(work)


REQUESTS: dict[tuple[str, str], t.Callable[[t.Any, t.Any, Namespaces], list[Request]]] = {
    ("link", "create"): _create_link, ("link", "update"): _update_link,
    # Half a pair cannot be made again, nor is it missed.
    ("stray", "create"): _leave_alone, ("stray", "update"): _leave_alone,
    ("bridge", "create"): _create_link, ("bridge", "update"): _update_link, ("bridge", "delete"): _delete_bridge,
    ("phys", "create"): _lend_nic, ("phys", "update"): _update_link, ("phys", "delete"): _return_nic,
    ("nic", "create"): _leave_alone, ("nic", "update"): _update_link, ("nic", "delete"): _leave_alone,
    ("port", "create"): _set_port, ("port", "update"): _set_port, ("port", "delete"): _unset_port,
    ("address", "create"): _create_address, ("address", "delete"): _delete_address,
    ("way", "create"): _create_route, ("way", "update"): _replace_route, ("way", "delete"): _delete_route,
    ("route", "create"): _create_route, ("route", "update"): _replace_route, ("route", "delete"): _delete_route,
}


# -- what some kernels refuse, and how they can be had all the same

def _veth_through_the_host(operation: Operation, _error: KernelError, namespaces: Namespaces) -> KernelError | None:
    """Old kernels look for the far end's name on the host first: make it under a name of its own, then rename it."""
    link = t.cast(Link, operation.after)
    if link.type != "veth" or link.ns == HOST or link.peer is None:
        return _error
    stand_in = "pwt" + link.peer[-12:]
    made = _create_link(None, dataclasses.replace(link, ifname=stand_in), namespaces)
    [error] = namespaces[HOST].send([message for _ns, message in made])
    if error is not None:
        return error
    netns = namespaces[link.ns]
    [error] = netns.send([_codec.set_link(netns.index(stand_in), name=link.ifname)])
    netns.forget(stand_in)
    if error is not None:
        namespaces[HOST].send([_codec.delete_link(namespaces[HOST].index(link.peer))])
        namespaces[HOST].forget(link.peer)
    return error


def _while_down(operation: Operation, _error: KernelError, namespaces: Namespaces) -> KernelError | None:
    """A new name or MAC that an interface does not take while it is up."""
    ns = HOST if isinstance(operation.subject, Port) else operation.subject.ns
    old = operation.before
    name = old.local_interface if isinstance(old, Port) else getattr(old, "ifname", None)
    if name is None or old is None:
        return _error
    index = namespaces[ns].index(name)
    requests = [_codec.set_link(index, up=False)]
    requests += [message for _ns, message in REQUESTS[_sort(operation)](old, operation.after, namespaces)]
    requests += [_codec.set_link(index, up=True)] if getattr(operation.after, "up", False) else []
    return next((error for error in namespaces[ns].send(requests) if error is not None), None)


def _with_ipv6(operation: Operation, _error: KernelError, namespaces: Namespaces) -> KernelError | None:
    """Docker switches IPv6 off on the interfaces of containers; one that is given an IPv6 address needs it."""
    address = operation.after
    if not isinstance(address, Address) or ":" not in address.address:
        return _error
    netns = namespaces[address.ns]
    netns.sysctl(f"net/ipv6/conf/{address.device}/disable_ipv6", "0")
    return netns.send([message for _ns, message in _create_address(None, address, namespaces)])[0]


Detour = t.Callable[[Operation, KernelError, Namespaces], t.Optional[KernelError]]
DETOURS: dict[tuple[tuple[str, str], int | None], Detour] = {
    (("link", "create"), errno.EEXIST): _veth_through_the_host,
    (("port", "update"), errno.EBUSY): _while_down,
    (("link", "update"), errno.EBUSY): _while_down,
    (("phys", "update"), errno.EBUSY): _while_down,
    (("nic", "update"), errno.EBUSY): _while_down,
    (("address", "create"), errno.EACCES): _with_ipv6,
    (("address", "create"), errno.EPERM): _with_ipv6,
}
