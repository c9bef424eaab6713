# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The module pipework: which jobs its lines become, and how errors name a line."""

from __future__ import annotations

import typing as t
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.pipework.containers.plugins.module_utils._cli.commands import commands_of, translated
from ansible_collections.pipework.containers.plugins.module_utils._cli.show import Shown
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._core.plan import Absent
from ansible_collections.pipework.containers.plugins.module_utils._jobs.attach import AttachJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.commands import CommandsJob
from ansible_collections.pipework.containers.plugins.module_utils._model.objects import Route
from ansible_collections.pipework.containers.plugins.module_utils._routing.routes_desired import Ground, wanted_routes


def attachments(**params: Any) -> list[Any]:
    return [item for job in CommandsJob(params).jobs if isinstance(job, AttachJob) for item in job.items]


def refused(**params: Any) -> str:
    with pytest.raises(PipeworkError) as caught:
        CommandsJob(params)
    return str(caught.value)


def test_P47_a_line_as_a_string_as_words_and_in_a_list_is_the_same() -> None:
    line = "br1 -i eth2 web1 192.168.1.1/24@192.168.1.254 U:web1"
    [first] = attachments(cmd=line)
    assert attachments(argv=line.split()) == [first] == attachments(commands=[line])
    assert (first.container, first.host_interface, first.interface) == ("web1", "br1", "eth2")
    assert (first.addresses, first.gateway) == (("192.168.1.1/24",), ("192.168.1.254",))


def test_P47_many_lines_are_one_job() -> None:
    job = CommandsJob({"commands": ["br1 web1 10.0.0.1/24", "eth2 db1 10.1.0.1/24"], "runtime": "docker"})
    assert len(job.jobs) == 1
    [item] = attachments(commands=["br1 a 10.0.0.1/24"], runtime="netns")
    assert (item.container, item.runtime) == ("a", "netns")
    assert CommandsJob({"commands": []}).jobs == []


def test_P47_what_a_line_stands_for_is_returned() -> None:
    [command] = commands_of({"cmd": "pipework  br1 'web1' 10.0.0.1/24 @10"})
    assert command.public() == {
        "cmd": "br1 web1 10.0.0.1/24 @10",
        "module": "pipework_attach",
        "options": {"host_interface": "br1", "container": "web1", "addresses": ["10.0.0.1/24"], "vlan": 10},
    }


def test_P47_an_error_names_the_line() -> None:
    good = "br1 web1 10.0.0.1/24"
    assert refused(commands=[good, "br1 web2"]).startswith("commands[1]: 'br1 web2' is not complete")
    assert refused(cmd="br1 web2").startswith("cmd: ")
    assert refused(argv=["br1", "web2", "10.0.0.2"]).startswith("argv: 'br1 web2 10.0.0.2': word 3")
    twice = refused(commands=[good, "br1 web2 10.0.0.2/24", "br1 web1 10.0.0.3/24"])
    assert twice.startswith("commands[2]: interface: web1/eth1 is listed twice (also in commands[0])")


def test_P47_one_way_to_give_lines() -> None:
    assert "give one of cmd, argv, commands; none is given" in refused()
    assert "cmd and commands are given" in refused(cmd="br1 a 10.0.0.1/24", commands=[])


def test_P47_errors_of_other_modules_are_about_lines() -> None:
    commands = commands_of({"commands": ["br1 a 10.0.0.1/24", "br1 b 10.0.0.2/24"]})
    lists = {"attachments": commands}
    assert translated("attachments[1]: mtu: no (as attachments[0])", lists) == "commands[1]: mtu: no (as commands[0])"
    assert translated("attachments[7]: x, routes[0]: y", lists) == "attachments[7]: x, routes[0]: y"
    assert translated("attachments[0]: x", {}) == "attachments[0]: x"


def test_P47_a_script_with_comments_and_blank_lines() -> None:
    script = "#!/bin/sh\n# all of it\n\npipework br1 web1 10.0.0.1/24;\npipework br1 web2 \\\n  10.0.0.2/24 # two\n"
    found = commands_of({"commands": [script, "  ", "# nothing", "pipework br1 web3 0/0"]})
    assert [(each.where, each.line.params["container"]) for each in found] == [
        ("commands[0]", "web1"), ("commands[0]", "web2"), ("commands[3]", "web3"),
    ]  # fmt: skip


@pytest.mark.parametrize("way", ["cmd", "commands"])
def test_P47_an_error_names_the_line_once(way: str) -> None:
    line = "route web1 add 10.0.0.1/8"
    with pytest.raises(PipeworkError) as caught:
        CommandsJob({way: line if way == "cmd" else [line]})
    said = str(caught.value)
    assert said.startswith("cmd: " if way == "cmd" else "commands[0]: ") and said.count("cmd: ") == (way == "cmd")


def left(*lines: str) -> list[str]:
    """What is left of lines that say several things of one route or rule."""
    job = CommandsJob({"commands": list(lines)})
    found = next(iter(job.lists.values()))
    assert len(job.lists) == 1
    return [each.public()["cmd"] for each in found]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["route a add 10.0.0.0/8 via 1.1.1.1", "route a replace 10.0.0.0/8 via 1.1.1.2"],
         ["route a replace 10.0.0.0/8 via 1.1.1.2"]),
        (["route a del default", "route a add default via 1.1.1.2"], ["route a replace default via 1.1.1.2"]),
        (["route a add default via 1.1.1.1", "route a del default"], ["route a del default"]),
        (["route a add default via 1.1.1.1", "route a add default via 1.1.1.1"], ["route a add default via 1.1.1.1"]),
        (["route a add default via 1.1.1.1", "route a change default via 1.1.1.2"],
         ["route a replace default via 1.1.1.2"]),
        (["route a add default via 1.1.1.1", "route a del default", "route a add default via 1.1.1.3"],
         ["route a replace default via 1.1.1.3"]),
        (["rule a add from 10.0.0.1 table 7", "rule a del from 10.0.0.1 table 7"],
         ["rule a del from 10.0.0.1/32 table 7"]),
        (["rule a del from 10.0.0.1 table 7", "rule a add from 10.0.0.1 table 7"],
         ["rule a add from 10.0.0.1/32 table 7"]),
        (["rule a add pref 9 table 7", "rule a del pref 9"], ["rule a del pref 9"]),
    ],
)  # fmt: skip
def test_P47_the_later_line_goes_before_the_earlier(lines: list[str], words: list[str]) -> None:
    assert [line.replace("/32", "") for line in left(*lines)] == [line.replace("/32", "") for line in words]
    assert len(CommandsJob({"commands": lines}).results({})["lines"]) == len(lines)


@pytest.mark.parametrize(
    "lines",
    [
        ["route a add default via 1.1.1.1", "route b replace default via 1.1.1.2"],
        ["route a add default via 1.1.1.1", "route a replace default via 1.1.1.2 metric 7"],
        ["route a add default via 1.1.1.1", "route a replace default via 1.1.1.2 table 7"],
        ["route a add default via 1.1.1.1", "route a del default via 1.1.1.2"],
        ["route a add 10.0.0.0/8 via 1.1.1.1", "route a append 10.0.0.0/8 via 1.1.1.2"],
    ],
)
def test_P47_lines_about_different_things_stay(lines: list[str]) -> None:
    assert left(*lines) == lines


def test_P33_new_rules_stand_as_the_script_makes_them() -> None:
    lines = ["rule a add from 10.0.0.1/32 table 7", "rule a add to 10.0.0.1/32 table 7"]
    assert left(*lines) == lines[::-1]  # the kernel puts the second before the first


def test_P47_a_line_that_another_makes_void_has_to_make_sense_too() -> None:
    lines = ["route a add 10.0.0.1/8 via 1.1.1.1", "route a replace 10.0.0.1/8 via 1.1.1.1"]
    assert refused(commands=lines).startswith("commands[0]: ")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sudo -u root pipework br1 web 10.0.0.1/24", None),
        ("DEBUG=1 sudo -E /opt/pipework/pipework br1 web 10.0.0.1/24;", None),
        ("time nohup bash -x ./pipework br1 web 10.0.0.1/24 # web", None),
        ("CID=abc", "'CID=abc' is for a shell"),
        ("docker run -d --name web nginx", "'docker' is for a shell"),
        ("set -e", "'set' is for a shell"),
        ("for i in 1 2; do pipework br1 web 10.0.0.1/24; done", "';' is for a shell"),
        ("br1 web 0.0.0.0", "0/0 would be right for none"),
        ("br1 web 10.0.0.1@10.0.0.254/24", "10.0.0.1/24@10.0.0.254 would be right"),
        ("br1 web 10.0.0.1/24@10.0.0.254/24", "10.0.0.1/24@10.0.0.254 would be right"),
    ],
)
def test_P47_forms_that_people_write(line: str, words: str | None) -> None:
    if words is None:
        [item] = attachments(cmd=line)
        assert (item.host_interface, item.container, item.addresses) == ("br1", "web", ("10.0.0.1/24",))
    else:
        assert words in refused(cmd=line)


@pytest.mark.parametrize("line", ["route a -6 show", "route a ip -6 route ls", "rule a ip -6 rule list",
                                  "tc a tc -s qdisc show dev eth1", "tc a -s class ls dev eth1"])  # fmt: skip
def test_P47_lines_that_ask_with_options_of_the_program(line: str) -> None:
    [command] = commands_of({"cmd": line})
    assert command.shows
    shown = Shown.of(command, "auto", None).argv
    assert shown[:3] in {("ip", "-6", "route"), ("ip", "-6", "rule"), ("tc", "-s", "qdisc"), ("tc", "-s", "class")}


# What is left of a script leaves what its lines leave, one after the other

GATEWAYS = ("192.0.2.2", "192.0.2.3")
Table = dict[tuple[str, int], str]


def played(lines: list[tuple[str, ...]], table: Table) -> Table | None:
    """The lines on a model of the kernel; None where one of them fails."""
    table = dict(table)
    for verb, destination, number, gateway in lines:
        place = (destination, int(number))
        if verb == "flush":
            table = {key: value for key, value in table.items() if key[1] != int(number)}
        elif verb == "add" and place in table or verb in ("change", "del") and place not in table:
            return None
        elif verb == "del":
            if gateway and table[place] != gateway:
                return None
            del table[place]
        else:
            table[place] = gateway
    return table


def at_once(lines: list[tuple[str, ...]], table: Table) -> Table:
    """The same by what is left of them."""
    def text(verb: str, destination: str, number: str, gateway: str) -> str:
        if verb == "flush":
            return f"route a flush table {number}"
        return f"route a {verb} {destination}{f' via {gateway}' if gateway else ''} table {number}"

    there = [
        Route("a", 4, destination, table=number, gateway=gateway, device="eth1", protocol=114, scope=0, type=1)
        for (destination, number), gateway in table.items()
    ]
    connected = Route("a", 4, "192.0.2.0/24", device="eth1", protocol=2, scope=253, type=1)
    [job] = CommandsJob({"commands": [text(*line) for line in lines]}).jobs
    state = {route.key: route for route in there}
    for want in wanted_routes(job.items, Ground.of("a", {"eth1"}, [*there, connected])):  # type: ignore[attr-defined]
        if isinstance(want, Absent):
            state.pop(want.key, None)
        else:
            state[want.key] = want  # type: ignore[assignment]
    return {(route.destination, route.table): str(route.gateway) for route in state.values()}


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_P47_folded_lines_leave_what_they_leave_one_by_one(data: st.DataObject) -> None:
    places = st.sampled_from(("default", "10.1.0.0/16"))
    numbers, gateways = st.sampled_from(("7", "8")), st.sampled_from(GATEWAYS)
    verbs = st.sampled_from(("add", "replace", "change", "del", "del via", "flush"))
    table = data.draw(st.dictionaries(st.tuples(places, st.sampled_from((7, 8))), gateways, max_size=3))
    lines: list[tuple[str, ...]] = []
    for verb, place, number, gateway in data.draw(st.lists(st.tuples(verbs, places, numbers, gateways), max_size=12)):
        line = (verb.split()[0], place, number, "" if verb in ("del", "flush") else gateway)
        if played([*lines, line], table) is not None:  # no line of the script fails
            lines.append(line)
    if not lines:
        return
    after = played(lines, table)
    assert at_once(lines, table) == after
    assert at_once(lines, t.cast(Table, after)) == after  # a second time
