# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Options that would have no effect, which is most likely not what somebody meant. Pure.

A task's defaults for a list may be of use to some of its items only, so that just what an item says itself counts.
"""
from __future__ import annotations

import dataclasses
import typing as t

from .errors import PipeworkError

Params = t.Mapping[str, t.Any]
Need = tuple[t.Callable[[t.Any], t.Any], str]  # whether an item has what an option needs; what to do where it has not

FOR_ALL = ("runtime", "runtime_user", "missing")  # which module_defaults set for tasks of all sorts: items' own count
NOTHING_SAID = {"runtime": ("auto", "host"), "missing": ("fail",)}  # values that ask for nothing, as False does
OF_BRIDGED = ("bridge", "openvswitch")
OF_CONTAINERS: dict[str, Need] = {
    "missing": (lambda item: item.runtime != "host", "with 'runtime: host' there is no container that could be missing;"
                " leave it out"),
}
OF_MOVING = ("phys", "sriov")
OF_ATTACHMENTS: dict[str, Need] = {
    **OF_CONTAINERS,
    "dhcp_options": (lambda item: item.dhcp, "without 'dhcp' nobody is asked; say who asks ('dhcp: builtin')"),
    "dhcp_hostname": (
        lambda item: item.dhcp or item.dhcp6, "without 'dhcp' or 'dhcp6' nobody is told; say who asks ('dhcp: builtin')"
    ),
    "dhcp_timeout": (
        lambda item: item.dhcp or item.dhcp6 or item.accept_ra,
        "without 'dhcp', 'dhcp6' or 'accept_ra' nobody is waited for; say who asks",
    ),
    "dhcp_image": (lambda item: item.dhcp == "docker", "only 'dhcp: docker' starts a container to ask; leave it out"),
    "append": (lambda item: item.addresses is not None, "needs 'addresses', which are added to those that are there"),
    "host_interface": (
        lambda item: item.peer is None, "beside 'peer' nothing of the host is attached to; leave one of them out"
    ),
    "forwarding": (
        lambda item: item.kind in ("auto", *OF_BRIDGED), f"only kinds {' and '.join(OF_BRIDGED)} have it; leave it out"
    ),
}
OF_ATTACHMENTS.update({
    option: (lambda item: item.kind in OF_MOVING or item.vf is not None, "only kinds phys and sriov have it, which "
             "move a NIC of the host; leave it out")
    for option in ("force", "confirm_timeout")
})
OF_BRIDGES: dict[str, Need] = {
    "move_addresses": (lambda item: item.ports, "needs 'ports', the NICs whose addresses the bridge takes over"),
}


OF_INTERFACES: dict[str, Need] = {
    **OF_CONTAINERS,
    "handle": (
        lambda item: item.root is None or item.root.kind not in ("ingress", "clsact"),
        "what stands at an interface's entry (ingress, clsact) has ffff: always; leave it out",
    ),
}
OF_ROUTES: dict[str, Need] = {
    **OF_CONTAINERS,
    "scope": (lambda item: item.route.family == 4, "only IPv4 has scopes of routes; leave it out"),
}
WITH_CONTAINER = "without 'container' it is about the namespace that the module runs in; say which container"
OF_WAITS: dict[str, Need] = {
    option: (lambda item: item.container is not None, WITH_CONTAINER) for option in ("runtime", "runtime_user")
}
RULES: dict[str, t.Mapping[str, Need]] = {  # by the option that lists the items
    "attachments": OF_ATTACHMENTS, "bridges": OF_BRIDGES, "interfaces": OF_INTERFACES, "waits": OF_WAITS,
    "routes": OF_ROUTES, **dict.fromkeys(("rules", "files"), OF_CONTAINERS),
}


def refuse_idle(own: Params | None, many: str, item: t.Any, listed: bool = True) -> None:
    """``own``: the options that an item of a list says itself, or a task without one; ``item``: what they and the
    defaults were read as."""
    for option, (has, words) in RULES.get(many, {}).items():
        value = (own or {}).get(option)
        if value in (None, "", [], False) or value in NOTHING_SAID.get(option, ()):
            continue
        if option in FOR_ALL and not listed:
            continue
        if getattr(item, "state", "present") == "present" and not has(item):
            raise _refusal(item, option, value, words)


def said_alone(params: Params, items: t.Sequence[t.Any]) -> list[t.Any]:
    """Attachments, which know what they and the task say."""
    if params.get("purge_on") and not params.get("purge"):
        raise PipeworkError("purge_on: without 'purge: true' nothing is removed; leave it out.")
    own = [params] if params.get("attachments") is None else params["attachments"]
    said = [(each or {}).get("forwarding") for each in own]
    named = [bool((each or {}).get("interface") or params.get("interface")) for each in own]
    return [
        dataclasses.replace(item, forwarding_said=bool(forwarding), interface_said=interface)
        for forwarding, interface, item in zip(said, named, items)
    ]


def _refusal(item: t.Any, option: str, value: t.Any, words: str) -> PipeworkError:
    shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value).lower() if value is True else value
    return item.refuse(f"{option}: {shown}: {words}.")
