# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The words of tc about each kind of queueing discipline, and the options that they stand for. Pure."""

from __future__ import annotations

import re
import typing as t

from .words import Words, meaning

VALUE, FLAGS, CURVE = "value", "flag", "curve"  # a word with a value, a word that is one, one with pairs of them
How = t.Union[str, int]  # or the number of values
CHOICES: dict[tuple[str, str], t.Any] = {}  # what a flag stands for, by kind and word


def _kind(name: str, values: str, flags: t.Mapping[str, tuple[str, t.Any]] | None = None, **more: How) -> None:
    """``values``: words that are called as their options; ``flags``: word, option and what it stands for."""
    table: dict[str, tuple[str, How]] = {word: (word, VALUE) for word in values.split()}
    for word, (option, value) in (flags or {}).items():
        table[word] = (option, FLAGS)
        CHOICES[name, word] = value
    table.update((word, (word, how)) for word, how in more.items())
    KINDS[name] = table


def _switch(*words: str) -> dict[str, tuple[str, t.Any]]:
    return {form: (word, form == word) for word in words for form in (word, f"no{word}")}


def _choice(option: str, *words: str) -> dict[str, tuple[str, t.Any]]:
    return {word: (option, word) for word in words}


KINDS: dict[str, dict[str, tuple[str, How]]] = {"netem": {}}
_kind("tbf", "rate burst limit latency peakrate mtu mpu overhead")
KINDS["tbf"].update(buffer=("burst", VALUE), maxburst=("burst", VALUE), minburst=("mtu", VALUE))
_kind("htb", "default r2q direct_qlen")
_kind("hfsc", "default")
_kind("fq_codel", "limit flows target interval quantum ce_threshold memory_limit drop_batch", _switch("ecn"))
_kind("codel", "limit target interval ce_threshold", _switch("ecn"))
_kind(
    "fq", "limit flow_limit quantum initial_quantum maxrate buckets refill_delay orphan_mask low_rate_threshold "
    "ce_threshold timer_slack horizon",
    {**_switch("pacing"), "horizon_drop": ("horizon_drop", True), "horizon_cap": ("horizon_drop", False)},
)
_kind("cake", "bandwidth rtt overhead mpu memlimit fwmark", {
    **_choice("diffserv", "diffserv3", "diffserv4", "diffserv8", "besteffort", "precedence"),
    **_choice("flow_mode", "flowblind", "srchost", "dsthost", "hosts", "flows", "dual-srchost", "dual-dsthost",
              "triple-isolate"),
    **_choice("atm", "noatm", "atm", "ptm"), **_switch("nat", "wash"),
    **_choice("ack_filter", "no-ack-filter", "ack-filter", "ack-filter-aggressive"),
    "split-gso": ("split_gso", True), "no-split-gso": ("split_gso", False), "ingress": ("ingress", True),
    "egress": ("ingress", False), "autorate-ingress": ("autorate_ingress", True),
})
_kind("sfq", "quantum perturb limit divisor flows")
_kind("prio", "bands", priomap=16)
_kind("drr", "")
_kind("red", "limit min max avpkt burst probability bandwidth", {
    word: (word, True) for word in ("ecn", "harddrop", "adaptive", "nodrop")
})
_kind("pfifo", "limit")
_kind("bfifo", "limit")
_kind("ingress", "")
_kind("clsact", "")


CLASSES: dict[str, dict[str, tuple[str, How]]] = {
    "htb": {
        **{word: (word, VALUE) for word in ("rate", "ceil", "burst", "cburst", "quantum", "prio", "mpu", "overhead")},
        "buffer": ("burst", VALUE), "maxburst": ("burst", VALUE), "cbuffer": ("cburst", VALUE),
        "cmaxburst": ("cburst", VALUE),
    },
    "hfsc": {word: (word, CURVE) for word in ("rt", "ls", "ul", "sc")},
    "drr": {"quantum": ("quantum", VALUE)},
}

NETEM_TABLE = {  # in the order in which tc looks
    "limit": "limit", "latency": "delay", "delay": "delay", "loss": "loss", "drop": "loss", "ecn": "ecn",
    "corrupt": "corrupt", "gap": "gap", "duplicate": "duplicate", "reorder": "reorder",
    "distribution": "distribution", "rate": "rate", "slot": "slot", "seed": "seed",
}
DELAY = ("delay", "jitter", "correlation")
RATE = ("rate", "packet_overhead", "cell_size", "cell_overhead")
MODELS = {"random": 2, "state": 5, "gemodel": 4}


class Netem:
    """netem, whose words take several values each, most of which can be left out."""

    def read(self, words: Words) -> dict[str, t.Any]:
        found: dict[str, t.Any] = {}
        while words:
            option = meaning(words.peek or "", NETEM_TABLE)
            if option is None:
                raise words.unknown("delay, loss, duplicate, corrupt, reorder, rate, limit, or another word of netem")
            word = words.take("")
            if option in found:
                raise words.wrong(f"is a second word about {option}, which can be said once")
            if option == "ecn":
                found["ecn"] = True
            elif option == "distribution":
                found[option] = words.take("a distribution such as normal")
            elif option == "loss":
                found[option] = self._loss(words)
            elif option in ("delay", "rate"):
                names = DELAY if option == "delay" else RATE
                found.update(zip(names, self._values(words, word, len(names))))
            elif option == "slot":
                found[option] = self._slot(words)
            else:
                most = 2 if option in ("corrupt", "duplicate", "reorder") else 1
                found[option] = " ".join(self._values(words, word, most))
        return found

    def _loss(self, words: Words) -> str:
        model = words.take("") if words.peek in MODELS else "random"
        values = self._values(words, f"loss {model}", MODELS[model])
        return " ".join(values if model == "random" else [model, *values])

    def _slot(self, words: Words) -> str:
        found = self._values(words, "slot", 2)
        while words.peek in ("packets", "bytes"):
            word = words.take("")
            found += [word, *self._values(words, word, 1)]
        return " ".join(found)

    @staticmethod
    def _values(words: Words, word: str, most: int) -> list[str]:
        """One value, and as many more as stand there."""
        found = [words.take(f"the value of {word}, such as 30% or 100ms,")]
        if not _numeric(found[0]):
            raise words.wrong(f"is not a quantity; the value of {word}, such as 30% or 100ms, would be right")
        while words.peek and _numeric(words.peek) and len(found) < most:
            found.append(words.take(""))
        return found

    def words(self, options: t.Mapping[str, t.Any]) -> list[str]:
        found: list[str] = []
        for option, value in options.items():
            if option == "ecn":
                found.append("ecn")
            elif option in ("delay", "rate"):
                names = DELAY if option == "delay" else RATE
                found += [option, *(str(options[name]) for name in names if name in options)]
            elif option not in DELAY + RATE:
                found += [option, *str(value).split()]
        return found


def _numeric(word: str) -> bool:
    return bool(re.fullmatch(r"[-+]?(\.\d|\d)[\w.%]*", word, re.ASCII))


NETEM = Netem()
