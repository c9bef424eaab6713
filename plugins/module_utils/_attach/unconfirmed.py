# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Moves of NICs that are to be confirmed: which of a run's are, and what confirms one. Pure.

A run that finds the NIC where it wants it confirms the move, as the task does over a new connection.
"""
from __future__ import annotations

import typing as t

from .._core.plan import Absent, Desired, State
from .._delayed.confirm import Watchdog
from .._model.keys import link_key
from .._model.objects import HOST, Link
from .context import Target

CONTAINER = ("container", "runtime", "runtime_user")


def title(target: Target) -> str:
    return f"{target.label or target.item.container}/{target.item.interface}"


def guards(
    targets: t.Iterable[Target], state: State, desired: Desired, nonce: str,
) -> t.Iterator[Watchdog | Absent]:
    """What waits for NICs that move, or does not any more. Raises PipeworkError for what could not be taken back."""
    for target in targets:
        item, mine = target.item, Watchdog(HOST, title(target))
        key = link_key(str(target.label), item.interface)
        have, want = state.get(key), desired.get(key)
        moves = isinstance(want, Link) and want.type == "phys" and (have is None or want.must_replace(have))
        if item.state != "present" or not item.confirm_timeout or not moves:
            if mine.key in state:
                yield Absent(mine.key)
            continue
        if have is not None:
            raise item.refuse(
                f"confirm_timeout: {mine.shim} is there already, and would not come back; remove it first."
            )
        params = {name: getattr(item, name) for name in CONTAINER}
        if params["runtime"] == "auto" and target.runtime:
            params["runtime"] = target.runtime
        yield Watchdog(
            HOST, mine.shim, item.confirm_timeout, nonce,
            params=tuple({**params, "interface": item.interface, "state": "absent"}.items()),
        )


def confirmed(targets: t.Iterable[Target], state: State) -> Desired:
    """What a run wants that only confirms. Raises PipeworkError where nothing waits any more."""
    found: Desired = {}
    for target in targets:
        key = Watchdog(HOST, title(target)).key
        if key in state:
            found[key] = Absent(key)
        elif target.item.confirm_timeout:
            raise target.item.refuse(
                f"confirm: nothing of {title(target)} waits to be confirmed. If something did, the time is over and "
                "the NIC has come home."
            )
    return found
