# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""How often something is tried: troubles are counted and tried again later and later, and news have a budget.

So neither a fault nor a server that says something new all the time can keep a host busy, or others from their turn.
"""
from __future__ import annotations

FIRST, LONGEST = 10.0, 600.0  # seconds from a trouble to the next try
RUNS_AT_ONCE = 3  # that news of one attachment may begin one after the other: a lease is lost, and another one comes
BETWEEN_RUNS, SELDOM = 60.0, 480.0  # seconds between further ones, at first and in the end


class Trouble:
    """What went wrong again and again, since it last went well."""

    def __init__(self, longest: float = LONGEST) -> None:
        self.longest = longest
        self.count = 0
        self.total = 0
        self.words = ""
        self.until = 0.0

    def met(self, words: str, now: float) -> None:
        self.count += 1
        self.total += 1
        self.words = words
        self.until = now + min(self.longest, FIRST * 2 ** min(self.count - 1, 16))

    def over(self) -> None:
        self.count, self.words, self.until = 0, "", 0.0


class Pace:
    """The runs of one attachment: a few at once, then one now and then, and ever more seldom while that goes on."""

    def __init__(self) -> None:
        self.left = float(RUNS_AT_ONCE)
        self.pause = BETWEEN_RUNS
        self.last = 0.0

    def next(self, now: float) -> float:
        """When a run may begin."""
        self._refill(now)
        return now if self.left >= 1 else self.last + self.pause

    def began(self, now: float) -> None:
        self._refill(now)
        if self.left >= 1:
            self.left -= 1
        else:
            self.pause = min(SELDOM, self.pause * 2)
        self.last = now

    def _refill(self, now: float) -> None:
        """All is forgotten of who was quiet for as long as the longest pause."""
        if self.last and now - self.last >= SELDOM + BETWEEN_RUNS:
            self.left, self.pause = float(RUNS_AT_ONCE), BETWEEN_RUNS
