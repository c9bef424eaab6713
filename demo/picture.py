# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Draws bridges of the host and the containers on them, from what the kernel shows."""
from __future__ import annotations

import sys
from typing import Any

import kernel

Links = dict[int, dict[str, Any]]
ASCII = str.maketrans("┌┐└┘─│┬┴", "++++-|++")


def look(containers: dict[str, str], bridge: str) -> tuple[Links, dict[str, Links]]:
    """A bridge of the host with its ports, and the interfaces of each container (its network namespace's path)."""
    seen = {}
    for name, path in containers.items():
        with kernel.inside(path):
            seen[name] = kernel.links()
    host = kernel.links()
    index = next(number for number, link in host.items() if link["name"] == bridge)
    return {number: link for number, link in host.items() if index in (number, link["master"])}, seen


def draw(host: Links, containers: dict[str, Links]) -> str:
    """The bridge, its ports, and what hangs on them."""
    bridge = next(link for link in host.values() if link["kind"] == "bridge")
    ports = [(number, link) for number, link in host.items() if link is not bridge]
    ends = [(port["name"], *_other_end(number, port, containers)) for number, port in ports]
    ends.sort(key=lambda end: [*containers, end[1]].index(end[1]))
    lines = _hang(_about(bridge), [(port, _box(inside, title)) for port, title, inside in ends])
    drawing = "\n".join(line.rstrip() for line in lines)
    try:
        drawing.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        drawing = drawing.translate(ASCII)
    return drawing


def _about(link: dict[str, Any]) -> list[str]:
    first = "  ".join([link["name"], *link["addresses"]])
    return [first, f"MAC {link['mac']}", f"MTU {link['mtu']}{'' if link['up'] else ', down'}"]


def _other_end(number: int, port: dict[str, Any], containers: dict[str, Links]) -> tuple[str, list[str]]:
    """Each end of a veth pair names the other one by its index."""
    for name, links in containers.items():
        end = links.get(port["link"])
        if end is not None and end["kind"] == "veth" and end["link"] == number:
            others = [link for link in links.values() if link is not end and link["up"]]
            return name, _about(end) + ["  ".join(["also", link["name"], *link["addresses"]]) for link in others]
    return "?", [port["kind"] or "network card"]


def _box(lines: list[str], title: str) -> list[str]:
    """A frame with a stem on top and its title below."""
    width = max(map(len, [*lines, title + "    "]))
    top = "┌───┴" + "─" * (width - 2) + "┐"
    return [top, *(f"│ {line:{width}} │" for line in lines), f"└ {title} " + "─" * (width - len(title)) + "┘"]


def _hang(bridge: list[str], boxes: list[tuple[str, list[str]]]) -> list[str]:
    """The bridge on top, as wide as all that hangs below it, side by side."""
    height = max((len(box) for _port, box in boxes), default=0)
    columns = [max(len(box[0]), len(port) + 5) for port, box in boxes]
    width = max([sum(columns) + 2 * len(columns) - 2, *(len(line) + 4 for line in bridge)])
    head = ["┌ host " + "─" * (width - 8) + "┐", *(f"│ {line:{width - 4}} │" for line in bridge)]
    foot = list("└" + "─" * (width - 2) + "┘")
    names, stems, rows = "", "", [""] * height
    place = 0
    for (port, box), column in zip(boxes, columns):
        foot[place + 4] = "┬"
        names += f"    │ {port}".ljust(column + 2)
        stems += "    │".ljust(column + 2)
        for row in range(height):
            rows[row] += (box[row] if row < len(box) else "").ljust(column + 2)
        place += column + 2
    return [*head, "".join(foot), names, stems, *rows]
