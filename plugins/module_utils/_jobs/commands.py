# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The job behind pipework: the classic command lines, done by the jobs of the other modules in one run."""
from __future__ import annotations

import contextlib
import dataclasses
import functools
import typing as t

from .._attach.conflicts import put_off_routes
from .._attach.options import Attachment, Params, attachments_from_params
from .._cli.commands import OF_ATTACHMENTS, Command, commands_of, doubts, items_for, translated
from .._core.errors import PipeworkError
from .._core.items import items_of
from .._core.plan import Absent, Plan, State, title
from .._engine import marks
from .._engine.executors import Executors, Journal, Passes
from .._engine.ipv6 import Ipv6
from .._engine.run import Job, Picture, run
from .._model.objects import PROTOCOL, PROTOCOL_LISTED, Route
from .._model.route import ExactRoute
from .._model.route_names import Names
from .._netlink.namespaces import Namespaces
from .._routing.route_options import RouteItem
from .._routing.rt_names import read_names
from .._routing.rule_options import RuleItem
from .._tc.options import items_from_params
from .._tc.qdiscs import QDISCS
from .attach import AttachJob
from .route import RouteJob
from .rule import RuleJob
from .tc import TcJob
from .wait import WaitJob, wait


class Part(t.NamedTuple):
    """What does the lines of one module: its list option, the options of an item, its items, its job."""

    option: str
    known: t.Collection[str]
    read: t.Callable[[Params, Names], t.Sequence[t.Any]]
    job: t.Callable[[Params], Job]


def _routes(params: Params, names: Names) -> list[RouteItem]:
    return items_of(params, "routes", functools.partial(RouteItem.from_params, names=names))


def _rules(params: Params, names: Names) -> list[RuleItem]:
    return items_of(params, "rules", functools.partial(RuleItem.from_params, names=names))


OF_COMMANDS = ("container", "cmd")
OF_TREES = frozenset({*OF_COMMANDS, "device", "handle", "force", "verbs", "qdiscs", "classes", "filters", *QDISCS})
PARTS = {
    "pipework_attach": Part("attachments", OF_ATTACHMENTS, attachments_from_params, AttachJob),
    "pipework_route": Part("routes", OF_COMMANDS, _routes, RouteJob),
    "pipework_rule": Part("rules", OF_COMMANDS, _rules, RuleJob),
    "pipework_tc": Part("interfaces", OF_TREES, lambda params, _names: items_from_params(params), TcJob),
}


class CommandsJob:
    """The lines, and the jobs that they make."""

    journal: Journal = marks.LinkJournal()
    passes: t.Callable[[], Passes] = Ipv6

    def __init__(self, params: Params) -> None:
        self.commands = commands_of(params)
        waits = [command for command in self.commands if command.line.module == "pipework_wait"]
        for command in self.commands:
            if command.line.module not in PARTS and command not in waits and not command.shows:
                what = f"'{command.line.module.partition('_')[2]}'"
                raise PipeworkError(f"{command.where}: {what} is not available in this version.")
        self.lists: dict[str, list[Command]] = {}
        self.jobs: list[Job] = []
        left = self._folded(params)
        for module, part in PARTS.items():
            mine = [command for command in left if command.line.module == module]
            # Of rules without a number the kernel puts each new one before those that are there.
            mine = mine[::-1] if module == "pipework_rule" else mine
            if mine:
                self.lists[part.option] = mine
                with self.naming_lines():
                    self.jobs.append(part.job({part.option: items_for(mine, params, part.known)}))

        self.shows: list[Command] = [command for command in self.commands if command.shows]
        self.runtime, self.runtime_user = params.get("runtime") or "auto", params.get("runtime_user")
        self.waiting: WaitJob | None = None
        if waits:
            self.lists["waits"] = waits
            with self.naming_lines():
                self.waiting = WaitJob({"waits": [command.line.params for command in waits]})

    def _folded(self, params: Params) -> list[Command]:
        """The lines that are left of those that say several things of one; also those that go have to make sense."""
        listed = [command for command in self.commands if command.line.module in PARTS]
        if len(listed) < 2:
            return listed
        from .._cli import fold, fold_tc  # which few runs need

        names, said, left = read_names(), [], []
        interfaces: dict[tuple[str | None, str], list[Attachment]] = {}
        for command in listed:
            part = PARTS[command.line.module]
            self.lists[part.option] = [command]
            with self.naming_lines():
                [item] = part.read({part.option: items_for([command], params, part.known)}, names)
            if isinstance(item, Attachment):
                plain = dataclasses.replace(item, where="")
                others = interfaces.setdefault((item.container, item.interface), [])
                if plain in others:
                    continue  # the same once more
                others.append(plain)
                gateway = fold.of_gateway(command, item.interface, names)
                said += [gateway] if gateway is not None else []
            elif command.line.module in fold.GRAMMARS:
                said.append(fold.Said.of(command, item))
                continue
            left.append(command)
        self.lists.clear()
        kept = fold.folded(said)
        stay = {id(each) for each in kept}
        gone = {id(each.command) for each in said if each.words is None and id(each) not in stay}
        lines = [fold.without_gateway(each) if id(each) in gone else each for each in left]
        tc = fold_tc.folded([each for each in lines if each.line.module == "pipework_tc"])
        return [
            *(each for each in lines if each.line.module != "pipework_tc"), *tc,
            *(each.command for each in kept if each.words is not None),
        ]

    @contextlib.contextmanager
    def naming_lines(self) -> t.Iterator[None]:
        try:
            yield
        except PipeworkError as error:
            raise PipeworkError(translated(error.message, self.lists), error.undone) from None

    def open(self, namespaces: Namespaces) -> None:
        with self.naming_lines():
            for job in self.jobs:
                job.open(namespaces)
        for name, words in namespaces.left_out.items():
            namespaces.left_out[name] = translated(words, self.lists)

    def picture(self, namespaces: Namespaces) -> Picture:
        whole = Picture({}, {}, set())
        with self.naming_lines():
            for job in self.jobs:
                if isinstance(job, (RouteJob, TcJob)):
                    job.coming = list(whole.desired.values())
                _add(whole, job.picture(namespaces))
        put_off_routes(whole.desired)  # those of other lines too
        return whole

    def executors(self) -> Executors:
        return {kind: each for job in self.jobs for kind, each in job.executors().items()}

    def results(self, state: State) -> dict[str, t.Any]:
        found: dict[str, t.Any] = {"lines": [command.public() for command in self.commands]}
        told = doubts(self.commands)
        with self.naming_lines():
            for job in self.jobs:
                results = job.results(state)
                results.get("rules", []).reverse()
                told += [translated(words, self.lists) for words in results.pop("warnings", ())]
                found.update(results)
        return {**found, **({"warnings": told} if told else {})}

    def finish(self, plan: Plan, namespaces: Namespaces, state: State) -> bool:
        came = [bool(job.finish(plan, namespaces, state)) for job in self.jobs]  # each has its turn
        return any(came)


def _add(whole: Picture, part: Picture) -> None:
    """Takes another job's picture in. What both look at is the same object; what both want has to be the same, too."""
    for key, want in part.desired.items():
        also = whole.desired.setdefault(key, want)
        if _the_same_way(also, want):
            continue  # an attachment makes the way to its gateway, and a line says so too
        gone = isinstance(want, Absent), isinstance(also, Absent)
        if gone[0] != gone[1] or not (gone[0] or want.over(also) == also):  # type: ignore[union-attr, arg-type]
            raise PipeworkError(f"Two lines want different things of {key[0]} {title(key)}; leave one of them out.")
    for key, item in part.state.items():
        whole.state.setdefault(key, item)
    whole.shown.update(part.shown)


def _the_same_way(also: t.Any, want: t.Any) -> bool:
    """Whether a route that a line wants is an attachment's."""
    if not (isinstance(also, Route) and isinstance(want, ExactRoute) and also.protocol in (PROTOCOL, PROTOCOL_LISTED)):
        return False
    return not dataclasses.replace(want, protocol=None).differences(also)


def _show(job: CommandsJob, result: dict[str, t.Any]) -> None:
    """Adds what the lines print that only ask."""
    from .._cli.show import Shown, show  # which few runs need

    try:
        printed = show([Shown.of(command, job.runtime, job.runtime_user) for command in job.shows])
    except PipeworkError as error:
        raise PipeworkError(error.message, "What the other lines say is done." if job.jobs else None) from None
    outputs = iter(printed)
    for command, line in zip(job.commands, result["lines"]):
        line.update({"stdout": next(outputs)} if command.shows else {})
    result["stdout"] = "".join(printed)


def carry_out(job: CommandsJob, check: bool = False) -> dict[str, t.Any]:
    """The lines that change something, and then those that wait; a check run does not wait for what it did not make."""
    result = {"changed": False, "before": {}, "after": {}, "operations": []}
    result.update(run(job, check) if job.jobs else job.results({}))
    if job.shows:
        _show(job, result)
    if job.waiting is not None and not (check and result["changed"]):
        try:
            with job.naming_lines():
                waited = wait(job.waiting)
        except PipeworkError as error:
            raise PipeworkError(error.message, "What the other lines say is done." if job.jobs else None) from None
        result.update(elapsed=waited["elapsed"], waits=waited["waits"])
    return result
