# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""``passthrough``: words of ``cmd`` that the grammar does not know, handed to the program itself in the container.

No shell is between. What came of it is told by what the program shows before and afterwards.
"""
from __future__ import annotations

import re
import typing as t

from .._core.errors import PipeworkError
from .._core.items import Params, container_of
from .._engine.run import Job, opened, run
from .._grammar.cmd_option import Parser
from .._grammar.words import UnknownWord, Words
from .._host import program as host_program
from .._host.privileges import require_privileges
from .._lookup.containers import Place, open_guests
from .._model.layer3 import HOST
from .._netlink.namespaces import Namespaces, Netns

SHOWS = {  # what is compared
    "route": (("-4", "-N", "-d", "route", "show", "table", "all"), ("-6", "-N", "-d", "route", "show", "table", "all")),
    "rule": (("-4", "-N", "rule", "show"), ("-6", "-N", "rule", "show")),
    "tc": (("qdisc", "show"),),
}
OF_A_DEVICE = (  # of each that the words name
    ("class", "show"), ("filter", "show"), ("filter", "show", "ingress"), ("filter", "show", "egress"),
)
CANNOT_KNOW = "A check run cannot know what '{}' would change, so it was not run."


class Passthrough:
    """One command of ``ip route``, ``ip rule`` or ``tc``."""

    state, missing = "present", "fail"

    def __init__(self, sort: str, params: Params) -> None:
        place = container_of(params)
        self.container, self.runtime_user = place["container"], place["runtime_user"]
        self.runtime = str(place["runtime"])
        words = Words.read(params["cmd"])
        self.sort = sort
        self.program = "tc" if sort == "tc" else "ip"
        words.skip("sudo")
        words.skip(self.program)
        flags = [words.take("")] if sort != "tc" and words.peek in ("-4", "-6") else []
        words.skip(sort)
        if str(words.peek).startswith("-"):
            raise words.unknown("a verb; options of the program itself are not passed through")
        self.argv = (*flags, *([sort] if sort != "tc" else []), *words.rest())

    def refuse(self, message: str) -> PipeworkError:
        """The error about the container."""
        return PipeworkError(message)

    @property
    def line(self) -> str:
        return Words((self.program, *self.argv)).line

    def shows(self) -> t.Iterator[tuple[str, ...]]:
        """The words that show what the command may change."""
        yield from SHOWS[self.sort]
        devices = [self.argv[at + 1] for at, word in enumerate(self.argv[:-1]) if word == "dev"]
        if self.sort == "tc":
            for sort, show, *side in OF_A_DEVICE:
                yield from ((sort, show, "dev", device, *side) for device in devices)

    def look(self, there: t.Callable[..., host_program.Done]) -> dict[str, list[str]]:
        """What the program shows, but for what changes by itself."""
        found = {}
        for words in self.shows():
            done = there(*words)
            lines = [re.sub(r"\bexpires \d+sec\b", "", line).strip() for line in done.output.splitlines()]
            found[" ".join((self.program, *words))] = lines if done.code == 0 else []
        return found

    def act(self, check: bool) -> dict[str, t.Any]:
        """Runs it, and says what changed; a check run only says that it cannot know."""
        require_privileges()
        empty: dict[str, t.Any] = {"before": {}, "after": {}, "operations": []}
        if host_program.which(self.program) is None:
            raise PipeworkError(f"cmd: there is no program {self.program} on the host.", "Nothing was changed.")
        places: list[Place] = []

        def find(namespaces: Namespaces) -> None:
            places[:] = open_guests([self], namespaces)

        with opened(find) as namespaces:
            if check:
                return {**empty, "changed": False, "skipped": True, "msg": CANNOT_KNOW.format(self.line)}
            netns = namespaces[str(places[0].label)]

            def there(*words: str) -> host_program.Done:
                return inside(namespaces, netns, self.program, *words)

            before = self.look(there)
            done = there(*self.argv)
            after = self.look(there)
        if done.code:
            undone = "Nothing was changed." if before == after else "Part of it was done and stays."
            raise PipeworkError(f"cmd: '{self.line}' failed: {done.said.rstrip('.')}.", undone)
        return {**empty, "changed": before != after, "before": before, "after": after, "stdout": done.output}


def inside(namespaces: Namespaces, netns: Netns, program: str, *words: str) -> host_program.Done:
    if netns.label == HOST:
        return host_program.run(program, *words)
    return namespaces.inside(netns.fd, lambda: host_program.run(program, *words))


def passing(job: t.Callable[[Params], Job], sort: str, parse: Parser) -> t.Callable[[Params], t.Any]:
    """A job, or the passing through of a command that only the program may know."""
    def choose(params: Params) -> t.Any:
        if params.get("passthrough") and not params.get("cmd"):
            raise PipeworkError("passthrough: needs 'cmd', whose words the program may know; leave it out.")
        try:
            if params.get("cmd"):
                parse(params["cmd"])
        except UnknownWord as error:
            if params.get("passthrough"):
                return Passthrough(sort, params)
            words = "'passthrough: true' hands such words to the program as they are."
            raise PipeworkError(f"{error} {words}") from None
        return job(params)

    return choose


def run_or_pass(job: t.Any, check: bool = False) -> dict[str, t.Any]:
    """A run of what ``passing`` has chosen."""
    return job.act(check) if isinstance(job, Passthrough) else run(job, check=check)
