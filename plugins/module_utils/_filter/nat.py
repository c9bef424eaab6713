# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Masquerading on the host, read and changed: by nft where there is one, else by iptables."""
from __future__ import annotations

import typing as t

from .._core.errors import PipeworkError, understood
from .._core.plan import Operation, State
from .._model.objects import HOST
from . import firewall
from . import masquerade as rules
from .masquerade import Masquerade

WITHOUT_NFT = ("iptables-legacy", "iptables-nft")


def observe() -> State:
    """What is masqueraded by rules of ours."""
    found = {bridge: rules.describe(each) for bridge, each in _nft().items()}
    for program in _programs():
        found.update((bridge, rules.describe(each)) for bridge, each in _iptables(program).items())
    known = [Masquerade(HOST, bridge, networks) for bridge, networks in found.items()]
    return {item.key: item for item in known}


def change(work: t.Sequence[Operation]) -> None:
    """One transaction, after those in which rules of another program go."""
    wanted = [t.cast(Masquerade, each.after) for each in work if each.after is not None]
    write = {each.bridge: [n for n in each.networks or () if "damaged" not in n] for each in wanted}
    concerned = {t.cast(Masquerade, each.subject).bridge for each in work}
    programs = _programs()
    nft = firewall.has_nft() or not programs
    for program in programs:
        gone = [spec for bridge, each in _iptables(program).items() if bridge in concerned for _network, spec in each]
        come = {} if nft or program != programs[0] else write
        if gone or come:
            firewall.restore(program, rules.iptables_batch(come, gone))
    with understood("What nft lists"):
        listing = _listing()
        have = rules.nft_read(listing)
    handles = [handle for bridge, each in have.items() if bridge in concerned for _network, handle in each]
    here = write if nft else {}
    commands = rules.nft_commands(here, handles)
    if have and not here and not set(have) - concerned:
        commands += rules.nft_leavings(listing)
    said = firewall.nft_do(commands) if commands else None
    if said is not None:
        raise PipeworkError(f"nft refused the rules that masquerade: {said}")


def _listing() -> t.Any:
    return firewall.nft_list("list", "table", *rules.TABLE.values())


def _nft() -> dict[str, t.Any]:
    with understood("What nft lists"):
        return rules.nft_read(_listing())


def _programs() -> list[str]:
    """The variants of iptables in which rules of ours may be: those whose table is in use, or that are all there is."""
    return [program for program in WITHOUT_NFT if firewall.has_nat(program)]


def _iptables(program: str) -> dict[str, t.Any]:
    with understood(f"What {program}-save prints"):
        return rules.iptables_read(firewall.saved_nat(program))
