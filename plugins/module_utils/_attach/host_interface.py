# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The options that name interfaces of the host, checked. Pure."""
from __future__ import annotations

import typing as t

from .._core import normalize as norm
from .._core.items import Params


def host_interface_of(params: Params) -> str | None:
    """A name, ``mac:<address>`` in the kernel's spelling, or None."""
    value = params.get("host_interface")
    return None if value is None or value == "" else _on_host(value, "host_interface")


def _on_host(value: t.Any, option: str) -> str:
    if str(value).startswith("mac:"):
        return "mac:" + norm.mac_address(str(value)[4:], option)
    return norm.interface_name(value, option)


def purge_scope(params: Params) -> list[str] | None:
    """The host interfaces on which a purge removes; None for all."""
    listed, only = params.get("purge_on"), host_interface_of(params)
    if listed is None:
        return None if only is None else [only]
    return [_on_host(name, "purge_on") for name in listed]
