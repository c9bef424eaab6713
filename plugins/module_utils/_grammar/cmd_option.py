# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""An item that is given as a command line of ip, as the options that it means. Pure."""

from __future__ import annotations

import typing as t

from .._core.errors import PipeworkError
from .._core.items import Params

Parser = t.Callable[[object], t.Any]
BESIDE = (
    "container", "runtime", "runtime_user", "missing", "cmd", "passthrough", "state", "purge", "routes", "rules",
    "interfaces",
)
PLACE = ("container", "runtime", "runtime_user", "missing")


def said(params: Params, parse: Parser, defaults: t.Collection[str]) -> tuple[str, Params]:
    """The verb of ``cmd`` and the options that it means; no verb and the same options where there is none.

    ``parse``: what reads the words of the program that the line is one of. ``defaults``: options that may stand beside
    it, since they are the task's defaults for its items.
    """
    beside = [name for name in params if params[name] is not None and name not in BESIDE and name not in defaults]
    if params.get("cmd") is None or (not params["cmd"] and beside):  # as a template leaves it that has nothing to say
        return "", params
    if beside:
        raise PipeworkError(f"{beside[0]}: stands beside cmd, which says all; leave one of them out.")
    if params.get("state") is not None:
        raise PipeworkError("state: stands beside cmd, whose verb says what is to be.")
    command = parse(params["cmd"])
    place = {name: params[name] for name in PLACE if params.get(name) is not None}
    also = {name: params[name] for name in defaults if params.get(name) is not None}
    family = f"ipv{command.family}"
    return command.verb, {**place, **also, "family": family, **command.params, "state": command.state}
