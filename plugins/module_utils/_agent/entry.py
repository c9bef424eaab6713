# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""One attachment of those that the process that stays takes care of: its duties, and its file for readers."""
from __future__ import annotations

import json
import os
import typing as t

from .._ipam import store as files
from . import host as io
from .dhcp4 import Client4
from .dhcp6 import Client6
from .duty import NEVER, Duty
from .link_local import Defender
from .record import Record, token

TELL_AGAIN = 2.0  # seconds

KINDS: dict[str, t.Callable[[Record, str], Duty]] = {each.KIND: each for each in (Client4, Client6, Defender)}


class Kept:
    """Raises Foreign for a record that is not understood, Gone where the container has ended, and OSError."""

    def __init__(self, name: str, text: str) -> None:
        self.record = Record.unpack(text)
        self.name, self.token = name, token(text)
        self.folder = os.path.join(files.FOLDER, name)
        self.duties = [KINDS[kind](self.record, self.folder) for kind in self.record.duties]
        self.told = ""
        self.again = NEVER  # when what could not be said is tried again
        self.process = io.open_process(self.record)

    @property
    def due(self) -> float:
        return min((duty.due for duty in self.duties), default=NEVER)

    @property
    def wakes(self) -> float:
        """When there is something to do for it, or to be said again."""
        return min(self.due, self.again)

    def is_current(self) -> bool:
        """Whether its record is still the one that it was made of."""
        return token(files.read(os.path.join(self.folder, files.KEEP)) or "") == self.token

    def hush(self) -> None:
        for duty in self.duties:
            duty.hush()

    def tell(self) -> None:
        """What others can read about it. Where that cannot be written, it is tried again."""
        now = files.clock()
        said = {"pid": os.getpid(), "token": self.token, **{duty.KIND: duty.said(now) for duty in self.duties}}
        failed = sum(duty.failed.total for duty in self.duties)
        said.update({"failures": failed} if failed else {})
        said.update({"not_understood": list(self.record.unknown)} if self.record.unknown else {})
        text = json.dumps(said, sort_keys=True)
        self.again = NEVER
        if text != self.told and os.path.isdir(self.folder):
            try:
                files.write(os.path.join(self.folder, files.STATUS), text)
                self.told = text
            except OSError:
                self.again = now + TELL_AGAIN
