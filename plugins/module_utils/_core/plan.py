# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Desired state and observed state make a plan; a plan folded over the observed state makes the state after it. Pure.

Everything that a module says about a change is taken from here, so that check mode cannot disagree with the real run.

Laws (tests/unit/test_laws.py): ``reconcile(d, simulate(o, reconcile(d, o)))`` is empty; the order of input never
matters; what is in no desired object and hangs on none that goes is never touched.
"""
from __future__ import annotations

import dataclasses
import typing as t

from .order import ORDER

Key = tuple[str, str, str]  # kind, namespace label, name


@dataclasses.dataclass(frozen=True)
class KernelObject:
    """One object of the kernel, or the part of it that somebody wants. A field that is None is not managed.

    KIND names it in ``operations``. FIXED fields cannot be changed in place: another value means a new object.
    HINTS are carried along (to make the object again after it was deleted) but never compared.
    """

    KIND: t.ClassVar[str] = ""
    IDENTITY: t.ClassVar[tuple[str, ...]] = ()
    FIXED: t.ClassVar[frozenset[str]] = frozenset()
    HINTS: t.ClassVar[frozenset[str]] = frozenset()

    ns: str

    @property
    def name(self) -> str:
        raise NotImplementedError

    @property
    def key(self) -> Key:
        return (self.KIND, self.ns, self.name)

    @property
    def carrier(self) -> Key | None:
        """What this object lives on, and vanishes with."""
        return None

    @property
    def order_kind(self) -> str:
        """The row of ORDER that this object follows."""
        return self.KIND

    def newborn(self) -> KernelObject:
        """What one message can create; what is missing comes as an update, when the rest stands."""
        return self

    def dying(self) -> KernelObject:
        """What is made of it before others go on without it, so that a killed run does not leave it unknown."""
        return self

    def unsupported(self) -> str:
        """What a kernel needs that does not know this kind of object, as a sentence; nothing where all know it."""
        return ""

    def differences(self, observed: KernelObject) -> frozenset[str]:
        """Names of the fields that are managed here and have another value there."""
        mine, theirs = self.__dict__, observed.__dict__
        return frozenset(
            field for field, value in mine.items()
            if value is not None and value != theirs[field]
            and field not in self.HINTS and not _settled(value, theirs[field])
        )

    def must_replace(self, observed: KernelObject) -> bool:
        """Whether the kernel cannot change the observed object into this one."""
        return bool(self.differences(observed) & self.FIXED)

    def over(self, observed: KernelObject) -> KernelObject:
        """The observed object with the fields that are managed here."""
        changed = {
            field: _merge(value, observed.__dict__[field])
            for field, value in self.__dict__.items() if value is not None and field not in self.HINTS
        }
        return dataclasses.replace(observed, **changed)

    def public(self) -> dict[str, t.Any]:
        """The object as ``before`` and ``after`` show it."""
        hidden = {*self.IDENTITY, *self.HINTS}
        shown = sorted((field, value) for field, value in self.__dict__.items() if field not in hidden)
        return {field: value for field, value in shown if value not in (None, "")}


def _settled(wanted: t.Any, observed: t.Any) -> bool:
    """Settings of a kind are a mapping of which only the wanted keys are managed."""
    both = isinstance(wanted, dict) and isinstance(observed, dict)
    return both and all(observed.get(name) == value for name, value in wanted.items())


def _merge(wanted: t.Any, observed: t.Any) -> t.Any:
    return {**observed, **wanted} if isinstance(wanted, dict) and isinstance(observed, dict) else wanted


@dataclasses.dataclass(frozen=True)
class Absent:
    """The wish that the object of this key is not there."""

    key: Key


State = dict[Key, KernelObject]
Desired = dict[Key, t.Union[KernelObject, Absent]]


@dataclasses.dataclass(frozen=True)
class Operation:
    """One change of one object. ``implied``: the kernel does it together with the deletion of the object's carrier."""

    action: str  # create, update, delete
    before: KernelObject | None
    after: KernelObject | None
    implied: bool = False

    @property
    def subject(self) -> KernelObject:
        return t.cast(KernelObject, self.after or self.before)

    @property
    def key(self) -> Key:
        return self.subject.key

    def inverted(self) -> Operation:
        """The operation that takes this one back."""
        opposite = {"create": "delete", "delete": "create", "update": "update"}
        return Operation(opposite[self.action], self.after, self.before)

    def public(self) -> dict[str, t.Any]:
        return {
            "action": self.action, "kind": self.subject.KIND, "name": title(self.key),
            "before": self.before.public() if self.before else {},
            "after": self.after.public() if self.after else {},
        }

    def __str__(self) -> str:
        return f"{self.action} {self.subject.KIND} {title(self.key)}"


def title(key: Key) -> str:
    """How a user reads a key: ``br1`` on the host, ``docker:web1/eth1`` in a container."""
    return key[2] if key[1] == "host" else f"{key[1]}/{key[2]}"


Plan = list[Operation]
Failure = t.Optional[tuple[Operation, Exception]]  # an operation that could not be done, and why


def reconcile(desired: Desired, observed: State) -> Plan:
    """The operations, in order, that make the observed state the desired one."""
    ranked: list[tuple[tuple[int, bool, int, Key], Operation]] = []

    def add(operation: Operation, place: int) -> None:
        kind = operation.subject.order_kind
        ranked.append(((place, not operation.implied, ORDER[kind, operation.action], operation.key), operation))

    def make(want: KernelObject) -> None:
        for operation in births(want):
            add(operation, ORDER[want.order_kind, operation.action])

    replaced = {key for key, want in desired.items() if isinstance(want, KernelObject)
                and key in observed and want.must_replace(observed[key])}
    removed = {key for key, want in desired.items() if isinstance(want, Absent) and key in observed}
    gone = _closure(replaced | removed, observed)
    for key in [key for key, root in gone.items() if root in removed and key != root]:
        want = desired.get(key)
        stays = isinstance(want, KernelObject) and not want.must_replace(observed[key])
        if stays and t.cast(KernelObject, want).over(observed[key]).carrier not in gone:
            del gone[key]  # a route that leaves the link before that goes

    early = replaced | {root for key, root in gone.items() if key in replaced}  # in the way of what is made anew
    for key, root in gone.items():
        kind = "replaced" if root in early else observed[root].order_kind
        last = observed[key].dying() if key in removed else observed[key]
        if last != observed[key]:
            add(Operation("update", observed[key], last), ORDER["dying", "update"])
        add(Operation("delete", last, None, implied=key != root), ORDER[kind, "delete"])
        if root in replaced and key not in desired:
            for operation in _rebirth(observed[key]):  # nothing of others is lost when a link has to be made anew
                add(operation, ORDER[observed[key].order_kind, operation.action])
    for key, want in desired.items():
        if isinstance(want, Absent):
            continue
        have = observed.get(key)
        if have is None or gone.get(key) == key:
            make(want)
        elif key in gone:
            make(want if want.must_replace(have) else want.over(have))
        elif want.differences(have):
            add(Operation("update", have, want.over(have)), ORDER[want.order_kind, "update"])

    ranked.sort(key=lambda entry: entry[0])
    return [operation for _rank, operation in ranked]


def births(want: KernelObject) -> t.Iterator[Operation]:
    """What makes an object that is not there: its creation, and an update where one message cannot do it all."""
    born = want.newborn()
    yield Operation("create", None, born)
    if want.differences(born):
        yield Operation("update", born, want.over(born))


def undo(done: Plan) -> Plan:
    """What takes back the operations of a plan that were done, last first."""
    created = {operation.key for operation in done if operation.action == "create"}
    back: Plan = []
    for operation in reversed(done):
        if operation.action == "delete":
            back.extend(_rebirth(operation.subject))
        elif operation.action == "create" or operation.key not in created:
            back.append(operation.inverted())
    return back


def _rebirth(lost: KernelObject) -> t.Iterator[Operation]:
    """The same for one that was observed: all of it comes back, also that it had no owner."""
    born = lost.newborn()
    yield Operation("create", None, born)
    if born != lost:
        yield Operation("update", born, lost)


def _closure(roots: set[Key], observed: State) -> dict[Key, Key]:
    """Each object that goes, with the one whose deletion takes it away; that is itself unless its carrier goes too."""
    if not roots:
        return {}
    gone: dict[Key, Key | None] = {}

    def root_of(key: Key) -> Key | None:
        if key not in gone:
            gone[key] = None  # ends a circle
            carrier = observed[key].carrier
            above = root_of(carrier) if carrier is not None and carrier in observed else None
            gone[key] = above or (key if key in roots else None)
        return gone[key]

    for key in observed:
        root_of(key)
    return {key: root for key, root in gone.items() if root is not None}


def simulate(observed: State, plan: Plan) -> State:
    """The state after the plan."""
    after = dict(observed)
    for operation in plan:
        if operation.action == "delete":
            after.pop(operation.key, None)
        else:
            after[operation.key] = operation.subject
    return after


def view(state: State, keys: t.Iterable[Key]) -> dict[str, t.Any]:
    """The part of a state that these keys name, as a user reads it: ``{"link docker:web1/eth1": {…}}``, sorted."""
    return {f"{key[0]} {title(key)}": state[key].public() for key in sorted(set(keys)) if key in state}
