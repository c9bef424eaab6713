# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The limits of an attachment's ``bandwidth``, which follow its host end. Pure."""
from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import PipeworkError
from .._core.plan import Absent, Desired, KernelObject, State
from .._model.keys import port_key
from .._model.objects import HOST, Port
from .._tc.bandwidth import Bandwidth, Place, wanted
from .._tc.model import Qdisc
from .options import Attachment


def of_attachment(item: Attachment, label: str, state: State, desired: Desired) -> t.Iterator[KernelObject | Absent]:
    """What an attachment's option, which it has, wants as soon as it is known what its port will be."""
    have, want = (states.get(port_key(label, item.interface)) for states in (state, desired))
    port = want if isinstance(want, Port) else None
    if isinstance(have, Port) and port is not None and have.local_interface != port.local_interface:
        follow(state, str(have.local_interface), str(port.local_interface))
    end = None if port is None else str(port.local_interface)
    try:
        yield from wanted(t.cast(Bandwidth, item.bandwidth), Place(item.title, label, item.interface, end), state)
    except PipeworkError as error:
        raise item.refuse(str(error)) from None


def follow(state: State, old: str, new: str) -> None:
    """A host end gets another name, and what stands on it goes with it."""
    for key, item in list(state.items()):
        if isinstance(item, Qdisc) and (item.ns, item.device) == (HOST, old):
            del state[key]
            moved = dataclasses.replace(item, device=new)
            state[moved.key] = moved
