# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The module pipework: which jobs its lines become, and how errors name a line."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._attach_job import AttachJob
from ansible_collections.pipework.containers.plugins.module_utils._commands import commands_of, translated
from ansible_collections.pipework.containers.plugins.module_utils._commands_job import CommandsJob
from ansible_collections.pipework.containers.plugins.module_utils._errors import PipeworkError


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
