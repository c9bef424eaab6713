# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The host's packet filter, as far as frames inside a Linux bridge pass it.

br_netfilter hands bridged IP frames to the host's forward hook. Where that drops them (Docker's FORWARD policy, a
closed nftables chain), two containers on one bridge do not reach each other. The remedy is one rule for that bridge
alone, at the top of each chain that would drop: it accepts what comes in and goes out by the bridge, and its comment
`pipework:<bridge>` says whose it is.

What drops is said in verdict.py. Looked at are the filter chains at the forward hook: iptables and ip6tables in
both variants, and nft's families ip, ip6, inet and bridge; not the raw and mangle tables, not ebtables, not a bridge's
own nf_call_iptables.
Looking changes nothing: a legacy table is read only when it is loaded, and no table or chain is ever made.
A program that rebuilds its ruleset (firewalld's reload) takes our rule away with it; the next run puts it back.
"""
from __future__ import annotations

import collections
import dataclasses
import json
import typing as t

from .._core.errors import PipeworkError, understood
from .._host import answers
from .._host.program import Done, run, which
from . import iptables, nft
from .verdict import IPV4, IPV6, Filter, Place, check_name

__all__ = ["FilterState", "Place", "change", "check_name", "nft_do", "nft_list", "observe"]

LOCK_SECONDS, TIMEOUT = 10, 30
# The chain of ebtables-nft, left alone: a rule of nft's own would make the table unreadable for ebtables.
EBTABLES = Place("nft", "bridge", "filter", "FORWARD")
Change = tuple[str, Place]


@dataclasses.dataclass(frozen=True)
class FilterState:
    """What is there: our own rules, and what becomes of the frames inside any bridge."""

    rules: frozenset[Change] = frozenset()
    filters: tuple[Filter, ...] = dataclasses.field(default=(), hash=False, repr=False)

    def dropping(self, bridge: str) -> tuple[Place, ...]:
        """Where frames forwarded inside the bridge would be dropped if our own rules were not there.

        PipeworkError when no rule can help: a chain that only a running program may change, a name no rule can hold.
        """
        found = [known for known in self.filters if known.drops(bridge)]
        for known in found:
            if known.owned:
                raise PipeworkError(
                    f"frames inside the bridge {bridge!r} would be dropped in {known.place}, "
                    "which only the program that owns that table may change; let the bridge pass there (firewalld: "
                    f"firewall-cmd --zone=trusted --change-interface={bridge}), or set forwarding: unmanaged"
                )
            check_name(bridge, known.place)
        return tuple(sorted(known.place for known in found))

    def dropping_routed(self, bridge: str) -> tuple[Place, ...]:
        """Where IPv4 packets between the bridge and elsewhere would be dropped if our own rules were not there."""
        found = [known for known in self.filters if known.drops_routed(bridge)]
        for known in found:
            if known.owned:
                raise PipeworkError(
                    f"what {bridge!r} sends elsewhere would be dropped in {known.place}, which only the program that "
                    "owns that table may change; let it pass there, or set forwarding: unmanaged"
                )
            check_name(bridge, known.place)
        return tuple(sorted(known.place for known in found))

    def forward_chains(self) -> tuple[Place, ...]:
        """Every filter chain at the forward hook, whether frames are dropped there or not."""
        return tuple(sorted(known.place for known in self.filters))


def observe() -> FilterState:
    filters = _read()
    rules = frozenset((rule.ours, known.place) for known in filters for rule in known.ours())
    return FilterState(rules, tuple(filters))


def change(add: t.Iterable[Change], remove: t.Iterable[Change]) -> None:
    """Add and remove rules of ours: one transaction for nft, one for each of iptables' programs.

    What is so already is left alone. When one of several transactions fails, those before it are taken back.
    """
    wanted, unwanted = sorted(set(add)), sorted(set(remove))
    if not wanted and not unwanted:
        return
    for bridge, place in wanted:
        check_name(bridge, place)
    programs: dict[str, tuple[list[Change], list[Change]]] = collections.defaultdict(lambda: ([], []))
    for side, items in enumerate((wanted, unwanted)):
        for item in items:
            programs[item[1].backend][side].append(item)
    done: list[tuple[str, list[Change], list[Change]]] = []
    try:
        for backend in sorted(programs):
            done.append((backend, *_transaction(backend, *programs[backend])))
    except PipeworkError as error:
        try:
            for backend, added, removed in reversed(done):
                _transaction(backend, removed, added)
        except PipeworkError as second:
            raise PipeworkError(str(error), f"Taking back the rules changed before it failed too: {second}") from error
        raise


def _transaction(backend: str, add: list[Change], remove: list[Change]) -> tuple[list[Change], list[Change]]:
    """Add and remove with one program; returns what was really added and removed."""
    filters = {known.place: known for known in _read()}
    gone = [place for _bridge, place in add if place not in filters]
    if gone:
        raise PipeworkError(f"the chain {gone[0]} that was to get a rule is not there any more")
    have = [(rule.ours, place, rule) for place, known in filters.items() for rule in known.ours()]
    present = {(bridge, place) for bridge, place, _rule in have}
    missing = [item for item in add if item not in present]
    surplus = [found for found in have if found[:2] in remove]
    removed = sorted({found[:2] for found in surplus})
    if not missing and not surplus:
        return [], []
    if backend == "nft":
        argv = [_find("nft"), "-j", "-f", "-"]
        text = nft.batch(missing, [(rule, place) for _bridge, place, rule in surplus])
    else:
        argv = [_program(backend, "-restore"), "--noflush", f"--wait={LOCK_SECONDS}"]
        text = iptables.batch([item[0] for item in missing], [found[0] for found in surplus])
    result = _run(argv, text)
    if result.code:
        hint = " (its table belongs to a running program)" if any(filters[item[1]].owned for item in missing) else ""
        rules = ", ".join(f"{bridge!r} in {place}" for bridge, place in [*missing, *removed])
        raise PipeworkError(f"{argv[0]} refused the rules for {rules}{hint}: {_said(result)}")
    return missing, removed


def _read() -> list[Filter]:
    with understood("What nft or iptables-save prints"):
        return _read_filters()


def _read_filters() -> list[Filter]:
    """All filters at the forward hook. A chain that iptables-nft and nft both show is read through iptables.

    nft does not know the matches of such rules, nor their comments.
    """
    protocols = _bridged_protocols()
    filters: list[Filter] = []
    has_nft = bool(_find("nft"))
    chains = nft.forward_chains(nft_list("list", "chains")) if has_nft else []
    for family, program in (("ip", "iptables"), ("ip6", "ip6tables")):
        if _legacy_in_use(family) and _program(f"{program}-legacy", "-save"):
            filters.extend(_iptables(f"{program}-legacy", protocols[family]))
        same = Place("nft", family, "filter", iptables.CHAIN)
        if (same in chains or not has_nft) and _program(f"{program}-nft", "-save"):
            found = _iptables(f"{program}-nft", protocols[family])
            if has_nft:
                chains = [place for place in chains if place != same or not found]
            else:  # iptables-nft shows chains that do not exist like empty ones that accept
                found = [known for known in found if known.policy != "accept" or known.chains[iptables.CHAIN]]
            filters.extend(found)
    for place in chains:
        if place != EBTABLES:
            table = ["list", "table", place.family, place.table]
            listing = nft_list(*table)
            flags = nft.flags_in(_run([_find("nft"), *table]).output) if nft.has_flags(listing) else []
            known = nft.parse(listing, place, protocols[place.family], flags)
            filters.extend([known] if known else [])
    return filters


def _bridged_protocols() -> dict[str, tuple[str, ...]]:
    """For each family, the protocols whose bridged frames its chains see."""
    ipv4 = (IPV4,) if _enabled("bridge-nf-call-iptables") else ()
    ipv6 = (IPV6,) if _enabled("bridge-nf-call-ip6tables") else ()
    return {"ip": ipv4, "ip6": ipv6, "inet": ipv4 + ipv6, "bridge": (IPV4, IPV6)}


def _enabled(sysctl: str) -> bool:
    return _content(f"/proc/sys/net/bridge/{sysctl}").strip() not in ("", "0")  # absent: br_netfilter is not there


def _legacy_in_use(family: str) -> bool:
    # Of the thread, not the process: the caller may have entered another network namespace in this thread alone.
    return "filter" in _content(f"/proc/thread-self/net/{family}_tables_names").split()


def _content(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _iptables(program: str, protocols: tuple[str, ...]) -> list[Filter]:
    result = _run([_program(program, "-save"), "-t", "filter"])
    if result.code and not _unsupported(result):
        raise PipeworkError(f"{program}-save cannot read the host's packet filter: {_said(result)}")
    with understood(f"What {program}-save prints"):
        known = None if iptables.INCOMPATIBLE in result.output else iptables.parse(result.output, program, protocols)
    return [known] if known else []


def nft_list(*words: str) -> t.Any:
    """What nft tells, read from its JSON; without anything where nft or the kernel has none of it."""
    if not _find("nft"):
        return {"nftables": []}
    argv = [_find("nft"), "-j", *words]
    result = _run(argv)
    if result.code:
        if _unsupported(result) or "No such file" in result.errors:
            return {"nftables": []}  # no nf_tables in the kernel, or a table that has just gone
        raise PipeworkError(f"{' '.join(argv)} cannot read the host's packet filter: {_said(result)}")
    try:
        found = answers.parse(result.output or '{"nftables": []}', strict=False)
    except ValueError as error:
        raise PipeworkError(f"{' '.join(argv)} gave what is not JSON: {answers.odd(error)}") from None
    if not isinstance(found, dict) or not isinstance(found.get("nftables"), list):
        raise PipeworkError(f"{' '.join(argv)} gave JSON that is no ruleset")
    return found


def nft_do(commands: list[t.Any], *options: str) -> str | None:
    """One transaction. What nft said, where it refused it."""
    if not _find("nft"):
        return "there is no program nft"
    result = _run([_find("nft"), "-j", *options, "-f", "-"], json.dumps({"nftables": commands}))
    return _said(result) if result.code else None


def has_nft() -> bool:
    """Whether the host has nft, and its kernel nf_tables."""
    return bool(_find("nft")) and _run([_find("nft"), "list", "tables"]).code == 0


def has_nat(program: str) -> bool:
    """Whether a variant of iptables is there and has, or without nft would have, the table nat."""
    if not _program(program, "-save"):
        return False
    in_use = "nat" in _content("/proc/thread-self/net/ip_tables_names").split()
    return in_use if program.endswith("-legacy") and has_nft() else program.endswith("-legacy") or not has_nft()


def saved_nat(program: str) -> str:
    """What `iptables-save -t nat` says."""
    result = _run([_program(program, "-save"), "-t", "nat"])
    return "" if result.code else result.output


def restore(program: str, text: str) -> None:
    """One transaction of a variant of iptables, or PipeworkError."""
    argv = [_program(program, "-restore"), "--noflush", f"--wait={LOCK_SECONDS}"]
    result = _run(argv, text)
    if result.code:
        raise PipeworkError(f"{argv[0]} refused the rules that masquerade: {_said(result)}")


def _program(program: str, suffix: str) -> str:
    """The path of a variant, such as iptables-nft-save; hosts with one variant alone have it under the plain name."""
    path = _find(program + suffix)
    if path:
        return path
    plain, variant = program.rsplit("-", 1)
    version = _find(plain) and _run([_find(plain), "-V"]).output
    return _find(plain + suffix) if version and ("nf_tables" in version) == (variant == "nft") else ""


def _find(name: str) -> str:
    return which(name) or ""


def _run(argv: list[str], text: str = "") -> Done:
    try:
        return run(*argv, text=text, seconds=TIMEOUT)
    except PipeworkError as error:
        words = str(error) if argv[0] else "the program of the packet filter is not there"
        raise PipeworkError(words.rstrip(".")) from None


def _unsupported(result: Done) -> bool:
    return "not supported" in result.errors


def _said(result: Done) -> str:
    words = " ".join((result.errors.strip() or result.output.strip() or f"exit code {result.code}").split())
    return answers.shortened_words(words)
