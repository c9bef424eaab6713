# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What a file of ``_tc/qdiscs/`` says about a kind of qdisc: its options, and where they stand in a message. Pure."""
from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import PipeworkError
from .units import Unit

Settings = dict[str, t.Any]  # options in the one spelling that show() gives
Tree = dict[str, t.Any]  # values by the names of a layout


@dataclasses.dataclass(frozen=True)
class Layout:
    """The wire's form of options. ``head``: the fields of the struct that they begin with; ``attrs``: number, name and
    form of each attribute, which is a type of pyroute2, the fields of a struct, or a Layout."""

    head: tuple[tuple[str, str], ...] = ()
    attrs: tuple[tuple[int, str, t.Any], ...] = ()


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of qdisc or class. ``fixed``: what only a new one can change; ``defaults``: what an option is that is not
    given, where the kernel would otherwise keep what it was; ``unseen``: options that the kernel never shows."""

    layout: Layout
    options: dict[str, Unit]
    encode: t.Callable[[Settings], Tree]
    decode: t.Callable[[Tree], Settings]
    fixed: frozenset[str] = frozenset()
    defaults: Settings = dataclasses.field(default_factory=dict)
    unseen: frozenset[str] = frozenset()
    check: t.Callable[[Settings], None] = lambda settings: None
    kernel: str = ""  # the option of the kernel
    classful: bool = False

    def read(self, given: t.Mapping[str, t.Any], what: str) -> Settings:
        """A user's options with the defaults, checked; PipeworkError."""
        for name, value in given.items():
            if name not in self.options:
                listed = ", ".join(self.options) or "none"
                raise PipeworkError(f"{what}.{name}: {what} has no such option; it has {listed}.")
            if value is None:
                continue
            try:
                self.options[name].read(value)
            except PipeworkError as error:
                raise PipeworkError(f"{what}.{name}: {error}") from None
        found = {**self.defaults, **{name: value for name, value in given.items() if value is not None}}
        try:
            self.check(found)
            return found
        except PipeworkError as error:
            raise PipeworkError(f"{what}.{error}") from None

    def canonical(self, given: Settings) -> Settings:
        """The options as they are read back."""
        shown = self.decode(self.encode(given)) if given else {}
        return {name: value for name, value in shown.items() if name in given or name in self.defaults}


class Flat(Kind):
    """What the kernel makes of a number is said by its unit."""

    def canonical(self, given: Settings) -> Settings:
        units = ((name, value, self.options[name]) for name, value in given.items())
        return {name: unit.show(unit.kept(unit.read(value))) for name, value, unit in units}


def flat(
    options: dict[str, tuple[int, str, Unit]], fixed: t.Iterable[str] = (), kernel: str = "", **more: t.Any,
) -> Kind:
    """A kind whose options are attributes of their own: number, type, unit."""
    def encode(settings: Settings) -> Tree:
        return {name: options[name][2].read(value) for name, value in settings.items()}

    def decode(tree: Tree) -> Settings:
        return {name: options[name][2].show(value) for name, value in tree.items() if name in options}

    return Flat(
        Layout(attrs=tuple((number, name, form) for name, (number, form, _unit) in options.items())),
        {name: unit for name, (_number, _form, unit) in options.items()}, encode, decode, frozenset(fixed),
        kernel=kernel, **more,
    )


def struct(
    options: dict[str, tuple[str, Unit]], defaults: Settings, fixed: t.Iterable[str] = (), kernel: str = "",
    **more: t.Any,
) -> Kind:
    """A kind whose options are one struct: format, unit."""
    def encode(settings: Settings) -> Tree:
        return {name: unit.read(settings[name]) if settings.get(name) is not None else 0
                for name, (_form, unit) in options.items()} if settings else {}

    def decode(tree: Tree) -> Settings:
        return {name: unit.show(tree[name]) for name, (_form, unit) in options.items() if name in tree}

    return Kind(
        Layout(head=tuple((name, form) for name, (form, _unit) in options.items())),
        {name: unit for name, (_form, unit) in options.items()}, encode, decode, frozenset(fixed), defaults,
        kernel=kernel, **more,
    )


def bare(kernel: str = "", **more: t.Any) -> Kind:
    """A kind without options."""
    return Kind(Layout(), {}, lambda settings: {}, lambda tree: {}, kernel=kernel, **more)


# A rate as a token bucket has it.
RATESPEC = (("cell_log", "B"), ("linklayer", "B"), ("overhead", "H"), ("cell_align", "h"), ("mpu", "H"), ("rate", "I"))
ETHERNET = 1  # told so, the kernel wants no table of sizes


def ratespec(prefix: str, rate: int, overhead: int = 0, mpu: int = 0) -> Tree:
    values = {
        "cell_log": 0, "linklayer": ETHERNET if rate else 0, "overhead": overhead, "cell_align": 0, "mpu": mpu,
        "rate": min(rate, (1 << 32) - 1),
    }
    return {prefix + name: value for name, value in values.items()}


def ratespec_fields(prefix: str) -> tuple[tuple[str, str], ...]:
    return tuple((prefix + name, form) for name, form in RATESPEC)


def lacking(name: str, sort: str, option: str | None = None) -> str:
    """What a kernel needs that does not know a qdisc (``sch``) or filter (``cls``), as a sentence."""
    option = option or f"CONFIG_NET_{sort.upper()}_{name.upper()}"
    return (
        f" This kernel has no {name}: it needs {option}, built in or as a module ('modprobe {sort}_{name}'; on Fedora "
        "and RHEL from the package kernel-modules-extra)."
    )
