# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""tbf: a token bucket, which holds to a rate."""
from __future__ import annotations

from ..._core.errors import PipeworkError
from ..spec import Kind, Layout, Settings, Tree, ratespec, ratespec_fields
from ..units import NUMBER32, RATE, SIZE, TIME, U32, size_of, ticks_of

OPTIONS = {
    "rate": RATE, "burst": SIZE, "limit": SIZE, "latency": TIME, "peakrate": RATE, "mtu": SIZE, "mpu": NUMBER32,
    "overhead": NUMBER32,
}
LAYOUT = Layout(attrs=(
    (1, "parms", (*ratespec_fields("r_"), *ratespec_fields("p_"), ("limit", "I"), ("buffer", "I"), ("mtu", "I"))),
    (4, "rate64", "uint64"), (5, "peak64", "uint64"),
))


def _check(given: Settings) -> None:
    for name in ("rate", "burst"):
        if name not in given:
            raise PipeworkError(f"{name}: say how much, as in {OPTIONS[name].example}.")
    if ("limit" in given) == ("latency" in given):
        which = "either 'limit' or 'latency', not both" if "limit" in given else "'limit' or 'latency'"
        raise PipeworkError(f"limit: a tbf is given {which}.")
    if ("peakrate" in given) != ("mtu" in given):
        raise PipeworkError("peakrate: it needs 'mtu', and the other way round.")
    if ticks_of(RATE.read(given["rate"]), SIZE.read(given["burst"])) == 0:
        raise PipeworkError(f"burst: {given['burst']!r} is too small for {given['rate']}.")
    if "peakrate" in given and RATE.read(given["peakrate"]) <= RATE.read(given["rate"]):
        raise PipeworkError(f"peakrate: {given['peakrate']!r} has to be more than the rate, {given['rate']}.")


def encode(given: Settings) -> Tree:
    rate, burst = RATE.read(given["rate"]), SIZE.read(given["burst"])
    peak = RATE.read(given["peakrate"]) if "peakrate" in given else 0
    mtu = SIZE.read(given["mtu"]) if "mtu" in given else 0
    if "limit" in given:
        limit = SIZE.read(given["limit"])
    else:
        latency = TIME.read(given["latency"])
        limit = rate * latency // 10**9 + burst
        limit = min(limit, peak * latency // 10**9 + mtu) if peak else limit
    overhead, mpu = (NUMBER32.read(given.get(name, 0)) for name in ("overhead", "mpu"))
    tree: Tree = {"parms": {
        **ratespec("r_", rate, overhead, mpu), **ratespec("p_", peak, overhead, mpu), "limit": min(limit, U32),
        "buffer": ticks_of(rate, burst), "mtu": ticks_of(peak, mtu) if peak else 0,
    }}
    tree.update({name: value for name, value in (("rate64", rate), ("peak64", peak)) if value > U32})
    return tree


def decode(tree: Tree) -> Settings:
    parms = tree["parms"]
    rate, peak = tree.get("rate64") or parms["r_rate"], tree.get("peak64") or parms["p_rate"]
    found: Settings = {
        "rate": RATE.show(rate), "burst": SIZE.show(size_of(rate, parms["buffer"])), "limit": SIZE.show(parms["limit"]),
        "overhead": parms["r_overhead"], "mpu": parms["r_mpu"],
    }
    if peak:
        found.update(peakrate=RATE.show(peak), mtu=SIZE.show(size_of(peak, parms["mtu"])))
    return found


class Tbf(Kind):
    """The latency comes back as the limit that it makes."""

    def canonical(self, given: Settings) -> Settings:
        return decode(encode(given))


KIND = Tbf(
    LAYOUT, OPTIONS, encode, decode, check=_check, kernel="CONFIG_NET_SCH_TBF", classful=True,
    fixed=frozenset({"peakrate"}),
)
