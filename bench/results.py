# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Measured numbers, the rows they stand in, and the targets."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

SIZES = (10, 100, 1000)
LARGEST = 1000


@dataclass(frozen=True)
class Row:
    key: str
    title: str
    floor: str | None = None  # the row it is compared with
    only: tuple[int, ...] = SIZES  # the sizes it is run with
    extrapolate: bool = False  # show the largest size's figure per attachment for the sizes above, too


ROWS = (
    Row("floor live", "(a) floor, the bridge is up already"),
    Row("floor new", "(a) floor, new bridge brought up last"),
    Row("attach live", "**one task**, the bridge is up already", "floor live"),
    Row("attach live module", "– of which the module's process", "floor live"),
    Row("attach new", "**one task**, new bridge", "floor new"),
    Row("attach new module", "– of which the module's process", "floor new"),
    Row("loop", "(b) one task per attachment, in a loop", "floor live", (10, 100), True),
    Row("ip -netns", "(d) `ip -batch` (`ip -netns` inside), new bridge", "floor new"),
    Row("nsenter, ip", "(d) `ip -batch` (`nsenter` inside), new bridge", "floor new"),
    Row("cni", "(c) CNI bridge plugin, the bridge is up already", "floor live"),
    Row("docker", "(c) `docker network connect`", "floor live", (10,), True),
    Row("podman", "(c) `podman network connect`", "floor live", (10,), True),
    Row("converged", "**one task** again, nothing to change"),
    Row("check", "check run of **one task**, all to be made"),
    Row("floor delete", "(a) floor, deleted as one link group"),
    Row("floor delete-each", "(a) the same, deleted one by one", "floor delete", (10, 100), True),
    Row("absent", "**one task**, all absent", "floor delete"),
    Row("absent module", "– of which the module's process", "floor delete"),
)


class Results:
    """Total milliseconds by row and number of attachments, of every round; peaks in MB; why a row is missing."""

    def __init__(self) -> None:
        self.times: dict[tuple[str, int], list[float]] = defaultdict(list)
        self.peaks: dict[int, list[float]] = defaultdict(list)
        self.missing: dict[str, str] = {}

    def add(self, key: str, count: int, milliseconds: float) -> None:
        self.times[key, count].append(milliseconds)

    def total(self, key: str, count: int) -> float | None:
        return statistics.median(self.times[key, count]) if (key, count) in self.times else None

    def each(self, key: str, count: int) -> float | None:
        total = self.total(key, count)
        return None if total is None else total / count

    def peak(self, count: int) -> float | None:
        return statistics.median(self.peaks[count]) if count in self.peaks else None


@dataclass(frozen=True)
class Target:
    text: str
    unit: str
    limit: float
    value: Callable[[Results], float]


def ratio(results: Results, key: str, floor: str, count: int = LARGEST) -> float:
    return present(results.total(key, count)) / present(results.total(floor, count))


def seconds(results: Results, key: str) -> float:
    return present(results.total(key, LARGEST)) / 1e3


def growth(results: Results, key: str) -> float:
    return present(results.each(key, LARGEST)) / present(results.each(key, LARGEST // 10))


def present(value: float | None) -> float:
    if value is None:
        raise LookupError
    return value


TARGETS = (
    Target(
        "attach, bridge up already: at most 4.0 × the floor", "×", 4.0, lambda r: ratio(r, "attach live", "floor live")
    ),
    Target("attach, new bridge: at most 4.0 × the floor", "×", 4.0, lambda r: ratio(r, "attach new", "floor new")),
    Target("converged re-run: at most 0.5 s + 2 ms each", "s", 2.5, lambda r: seconds(r, "converged")),
    Target("absent of all: at most 3 s", "s", 3.0, lambda r: seconds(r, "absent")),
    Target("peak memory of the module: at most 120 MB", "MB", 120.0, lambda r: present(r.peak(LARGEST))),
    Target("one of 1,000, bridge up: at most 1.3 × one of 100", "×", 1.3, lambda r: growth(r, "attach live")),
    Target("one of 1,000, new bridge: at most 1.3 × one of 100", "×", 1.3, lambda r: growth(r, "attach new")),
)


def table(results: Results) -> str:
    lines = [
        "| ms per attachment | " + " | ".join(f"{size:,}" for size in SIZES) + " | × floor |",
        "|---|" + "--:|" * (len(SIZES) + 1),
    ]
    lines += ["| " + " | ".join([title(results, row), *cells(results, row)]) + " |" for row in ROWS]
    peaks = [results.peak(size) for size in SIZES]
    lines.append("| peak memory of the module, MB | " + " | ".join(figure(peak) for peak in peaks) + " | |")
    return "\n".join(lines)


def title(results: Results, row: Row) -> str:
    measured = any((row.key, size) in results.times for size in SIZES)
    broken = measured and row.key in results.missing
    return f"{row.title} (incomplete: {results.missing[row.key]})" if broken else row.title


def cells(results: Results, row: Row) -> list[str]:
    """A figure for each size and the ratio at the largest size that was measured."""
    largest = max((size for size in SIZES if (row.key, size) in results.times), default=None)
    if largest is None:
        return [f"not run: {results.missing.get(row.key, 'left out')}", *[""] * len(SIZES)]
    shown = []
    for size in SIZES:
        value = results.each(row.key, size)
        if value is None and row.extrapolate and size > largest:
            shown.append(f"({figure(results.each(row.key, largest))})")
        else:
            shown.append(figure(value))
    if row.floor is None or (row.floor, largest) not in results.times:
        return [*shown, ""]
    against = ratio(results, row.key, row.floor, largest)
    return [*shown, f"{against:.1f}" + ("" if largest == LARGEST else f" at {largest}")]


def figure(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def verdicts(results: Results) -> str:
    lines = ["| target, at 1,000 | measured | |", "|---|--:|---|"]
    for target in TARGETS:
        try:
            value = target.value(results)
        except LookupError:
            lines.append(f"| {target.text} | – | not measured |")
        else:
            verdict = "met" if value <= target.limit else "**not met**"
            lines.append(f"| {target.text} | {value:.2f} {target.unit} | {verdict} |")
    return "\n".join(lines)
