# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The options of an attachment about addresses that others give, checked. Pure."""
from __future__ import annotations

import re
import typing as t

from .._core import normalize as norm
from .._core.errors import PipeworkError
from .._core.items import Params
from . import dhcp4_grant, external

DHCP_IMAGE = "busybox"  # as in the classic script
DHCP_SECONDS = 30.0
DHCP_SECONDS_MAX = 240  # less than other runs wait for the lock
IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*")


def dhcp_options(params: Params) -> dict[str, t.Any]:
    """The fields of an attachment."""
    client, options, hostname = params.get("dhcp") or None, params.get("dhcp_options"), params.get("dhcp_hostname")
    seconds = DHCP_SECONDS if params.get("dhcp_timeout") is None else float(params["dhcp_timeout"])
    if client is not None and client not in external.CHOICES:
        raise PipeworkError(f"dhcp: {client!r} is not one of {', '.join(external.CHOICES)}.")
    if not 1 <= seconds <= DHCP_SECONDS_MAX:
        right = f"1 to {DHCP_SECONDS_MAX} seconds would be right"
        raise PipeworkError(f"dhcp_timeout: {seconds:g} is not possible; {right}.")
    return {
        "dhcp": client, "dhcp_timeout": seconds, "dhcp_keep": bool(params.get("dhcp_keep")),
        "dhcp_image": _image(params.get("dhcp_image") or DHCP_IMAGE),
        "dhcp_options": None if options is None else dhcp4_grant.check_options(options),
        "dhcp_hostname": None if hostname in (None, "") else dhcp4_grant.check_hostname(hostname),
    }


def _image(name: t.Any) -> str:
    if not IMAGE.fullmatch(str(name)):
        raise PipeworkError(f"dhcp_image: {name!r} is not the name of an image; busybox:1.36 would be right.")
    return str(name)


def check_dhcp(item: t.Any) -> None:
    """What an Attachment cannot have together; raises PipeworkError."""
    if item.dhcp_keep and item.dhcp is None and not item.dhcp6:
        raise PipeworkError(
            "dhcp_keep: without 'dhcp' or 'dhcp6' there is no lease to keep; say who asks ('dhcp: builtin'), or "
            "'dhcp6: true'."
        )
    if item.dhcp_dns and item.dhcp is None and not item.dhcp6:
        raise PipeworkError(
            "dhcp_dns: without 'dhcp' or 'dhcp6' there is no lease that names servers; say who asks ('dhcp: builtin')."
        )
    if item.dhcp_dns and item.runtime == "host":
        raise PipeworkError("dhcp_dns: the host's resolv.conf is never written; leave it out with 'runtime: host'.")
    if item.dhcp is not None and item.kind == "dummy":
        raise PipeworkError("dhcp: an interface that leads nowhere (kind dummy) reaches no server; leave it out.")
    external.check_client(item.dhcp, item.kind, {dhcp4_grant.option_of(o)[0]: o for o in item.dhcp_options or ()})
    for name, words in (("dhcp6", "reaches no server"), ("accept_ra", "hears no router")):
        if getattr(item, name) and item.kind == "dummy":
            raise PipeworkError(f"{name}: an interface that leads nowhere (kind dummy) {words}; leave it out.")
    if item.link_local:
        static = [address for address in item.addresses or () if norm.family(address) == 4]
        other = f"addresses: {static[0]}" if static else "dhcp" if item.dhcp is not None else None
        if other is not None:
            raise PipeworkError(
                f"link_local: a link-local address is for an interface without any other of IPv4, but it gets one by "
                f"{other}; leave one of them out."
            )
