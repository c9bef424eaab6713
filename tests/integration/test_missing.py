# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""``missing: skip``: a container that is not there does not hold up the others of its host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._jobs.commands import CommandsJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.hosts import HostsJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.route import RouteJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.rule import RuleJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.tc import TcJob
from tests.integration.files import private_etc
from tests.integration.lab import Host

pytestmark = pytest.mark.root
COMMON: dict[str, Any] = {"runtime": "netns", "host_interface": "br1"}
LEFT_OUT = "attachments[1]: container: netns knows no container 'gone'."
THREE = [
    {"container": "a", "addresses": ["10.1.0.1/24"]}, {"container": "gone", "addresses": ["10.1.0.2/24"]},
    {"container": "b", "addresses": ["10.1.0.3/24"]},
]  # fmt: skip


@pytest.fixture
def host() -> Iterator[Host]:
    found = Host("a", "b")
    yield found
    found.close()


def test_B3_what_is_not_there_is_left_out_and_the_others_are_done(host: Host) -> None:
    with pytest.raises(PipeworkError, match=r"attachments\[1\]: container: netns knows no container 'gone'"):
        host.run(**COMMON, attachments=THREE)
    would = host.run(check=True, **COMMON, attachments=THREE, missing="skip")
    done = host.run(**COMMON, attachments=THREE, missing="skip")
    assert would["operations"] == done["operations"] and done["changed"]
    for result in (would, done):
        assert result["skipped"] == ["gone"]
        [words] = [words for words in result["warnings"] if "gone" in words]
        assert words.startswith(LEFT_OUT) and words.endswith("It is left out, as 'missing: skip' says.")
        assert [each["container"] for each in result["attachments"]] == ["a", "b"]
    assert "eth1" in host.links("a") and "eth1" in host.links("b")
    again = host.run(**COMMON, attachments=THREE, missing="skip", purge=True)
    assert not again["changed"] and again["skipped"] == ["gone"]
    # an item says so for itself; and what goes is never in the way
    host.run(**COMMON, attachments=[{**THREE[1], "missing": "skip"}, THREE[0]])
    with pytest.raises(PipeworkError, match="'gone'"):
        host.run(**COMMON, missing="skip", attachments=[{**THREE[1], "missing": "fail"}, THREE[0]])
    assert "skipped" not in host.run(**COMMON, missing="skip", state="absent", attachments=THREE)
    assert host.links("a") == host.links("b") == []


def test_B3_the_two_ends_of_a_pair_are_left_out_together(host: Host) -> None:
    pair = {"container": "a", "kind": "veth", "interface": "eth5", "peer": {"container": "gone", "interface": "eth5"}}
    done = host.run(runtime="netns", missing="skip", attachments=[pair, {**THREE[2], "host_interface": "br1"}])
    assert done["skipped"] == ["gone"] and host.links("a") == [] and "eth1" in host.links("b")


def test_B3_the_other_modules_leave_it_out_too(host: Host) -> None:
    private_etc(host)
    host.run(**COMMON, attachments=[THREE[0], THREE[2]])
    both: dict[str, Any] = {"runtime": "netns", "missing": "skip"}
    who = [{"container": "gone"}, {"container": "a"}]
    for job, options in (
        (RouteJob, {"destination": "10.9.0.0/16", "gateway": "10.1.0.9", "table": 9, "routes": who}),
        (RuleJob, {"source": "10.1.0.1", "table": 9, "rules": who}),
        (TcJob, {"device": "eth1", "tbf": {"rate": "1mbit", "burst": "32kb", "latency": "50ms"}, "interfaces": who}),
        (HostsJob, {"entries": [{"address": "10.1.0.2", "names": ["db1"]}], "files": who}),
    ):
        with pytest.raises(PipeworkError, match="'gone'"):
            host.run(job=job, **{**both, "missing": "fail"}, **options)
        would = host.run(job=job, check=True, **both, **options)
        done = host.run(job=job, **both, **options)
        assert would["operations"] == done["operations"] != []
        assert done["skipped"] == ["gone"] and any("'gone'" in words for words in done["warnings"]), job
        assert not host.run(job=job, **both, **options)["changed"]
    for job, many, line in (
        (RouteJob, "routes", "add 10.8.0.0/16 via 10.1.0.9"), (RuleJob, "rules", "add from 10.1.0.1 table 8"),
        (TcJob, "interfaces", "qdisc replace dev eth1 root tbf rate 2mbit burst 32kb latency 50ms"),
    ):
        done = host.run(job=job, **both, **{many: [{**each, "cmd": line} for each in who]})
        assert done["changed"] and done["skipped"] == ["gone"], line
    host.run(job=RouteJob, **both, routes=who, purge=True, table="all")  # of what is not there nothing is left
    assert "10.8.0.0/16" not in host.sh("ip", "route", ns="a")


def test_B3_a_script_goes_on_without_it(host: Host) -> None:
    lines = ["br1 a 10.1.0.1/24", "br1 gone 10.1.0.2/24@10.1.0.9", "route gone add 10.9.0.0/16 via 10.1.0.9",
             "rule gone add from 10.1.0.2 table 9", "route a add 10.9.0.0/16 via 10.1.0.9"]  # fmt: skip
    script: dict[str, Any] = {"runtime": "netns", "commands": lines}
    with pytest.raises(PipeworkError, match=r"commands\[1\].*'gone'"):
        host.run(job=CommandsJob, **script)
    would = host.run(job=CommandsJob, check=True, **script, missing="skip")
    done = host.run(job=CommandsJob, **script, missing="skip")
    assert would["operations"] == done["operations"]
    assert done["skipped"] == ["gone"]
    assert any(words.startswith("commands[1]: ") and "'gone'" in words for words in done["warnings"])
    assert "10.9.0.0/16 via 10.1.0.9 dev eth1" in host.sh("ip", "route", ns="a")
    assert not host.run(job=CommandsJob, **script, missing="skip")["changed"]
