# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What engines and programs of the host answer: some are others', and all may be of another version."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils import _runtimes
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._filter import firewall, nft
from ansible_collections.pipework.containers.plugins.module_utils._filter.verdict import Place
from ansible_collections.pipework.containers.plugins.module_utils._host import program
from ansible_collections.pipework.containers.plugins.module_utils._model import container
from ansible_collections.pipework.containers.plugins.module_utils._ovs import client as ovs_client
from ansible_collections.pipework.containers.plugins.module_utils._ovs import tables as ovs_tables
from ansible_collections.pipework.containers.plugins.module_utils._runtimes import (
    containerd,
    cri,
    docker,
    incus,
    podman,
)
from tests.fuzz.harness import JSON, Target, fuzz, parameters, try_kept
from tests.fuzz.mutations import documents, json_texts, texts

WANTED: list[Any] = [("web1", None), ("3f2a9c41d0b7", None)]
IDENT = "3f2a9c41d0b7" + "0" * 52
GONE = 0x3FFFFF  # no process has this number


@pytest.fixture(autouse=True)
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_runtimes, "patience", 0.0)
    for runtime in (docker, podman, incus):
        monkeypatch.setattr(runtime.time, "sleep", lambda _seconds: None)


def each_found(answers: Any) -> None:
    """Closes what was found, and raises what is no answer."""
    for answer in answers:
        if isinstance(answer, container.Found):
            os.close(answer.fd)
        else:
            assert answer is None or isinstance(answer, PipeworkError)


@contextlib.contextmanager
def saying(module: Any, name: str, function: Any) -> Any:
    """Something else answers in place of a program or a daemon."""
    before = getattr(module, name)
    setattr(module, name, function)
    try:
        yield
    finally:
        setattr(module, name, before)


# -- Docker


class Engine:
    """A client whose engine says what it likes."""

    def __init__(self, said: Any) -> None:
        self.said = said if isinstance(said, dict) else {"list": said, "one": said}

    def containers(self, **_filters: Any) -> Any:
        return self.said.get("list")

    def inspect_container(self, _ident: str) -> Any:
        return self.said.get("one")


DOCKER = [
    {
        "list": [{"Id": IDENT, "Names": ["/web1", "/other/alias"], "State": "running"}, {"Id": "b" * 64, "Names": []}],
        "one": {
            "Id": IDENT,
            "Name": "/web1",
            "HostConfig": {"PidMode": ""},
            "State": {"Pid": GONE, "Status": status, "StartedAt": "2026-01-01T00:00:00.123456789Z"},
        },
    }
    for status in ("running", "created", "restarting", "exited")
]


def read_docker(said: Any) -> None:
    with saying(docker, "_client", lambda _user: Engine(said)):
        each_found(_runtimes._ask("docker", docker, WANTED))
        _runtimes.running("docker", None)


# -- Podman

PODMAN = [[{"Id": IDENT, "Names": ["web1"], "Pid": GONE, "State": state}] for state in ("running", "created", "exited")]


def read_podman(text: str) -> None:
    done = program.Done(0, text, "")
    with (
        saying(podman.host_program, "run", lambda *_argv, **_how: done),
        saying(podman.host_program, "which", lambda name: name),
    ):
        each_found(_runtimes._ask("podman", podman, WANTED))
        _runtimes.running("podman", None)


# -- Incus

INCUS = [
    {
        "list": [
            {
                "name": "web1",
                "project": "default",
                "type": "container",
                "status": "Running",
                "location": "none",
                "config": {"volatile.uuid": "3f2a9c41-d0b7-4000-8000-000000000000"},
            }
        ],
        "state": {"pid": GONE, "status": "Running"},
        "server": {"environment": {"server_name": "a"}},
    }
]


def read_incus(said: Any) -> None:
    parts = said if isinstance(said, dict) else {"list": said, "state": said, "server": said}

    def get(_socket: str, path: str) -> Any:
        return parts.get("server" if path == "/1.0" else "state" if "/state" in path else "list")

    with saying(incus, "_get", get), saying(incus, "_sockets", lambda: [("/nowhere", "incus")]):
        each_found(_runtimes._ask("incus", incus, WANTED))
        _runtimes.running("incus", None)


# -- containerd, and Kubernetes above it

CTR = [
    {
        "spaces": "default\nk8s.io\n",
        "idents": f"{IDENT}\n",
        "tasks": f"TASK    PID    STATUS\n{IDENT}    {GONE}    RUNNING\n",
        "info": json.dumps(
            {
                "Labels": {
                    "nerdctl/name": "web1",
                    "io.kubernetes.pod.name": "web1",
                    "io.kubernetes.pod.namespace": "default",
                    "io.cri-containerd.kind": "sandbox",
                },
                "Spec": {"linux": {"namespaces": [{"type": "network", "path": "/nowhere"}]}},
                "SandboxID": IDENT,
            }
        ),
    }
]


def read_ctr(said: Any) -> None:
    parts = (
        {name: part if isinstance(part, str) else json.dumps(part) for name, part in said.items()}
        if isinstance(said, dict)
        else {}
    )

    def ctr(*argv: str) -> str:
        words = set(argv)
        return parts.get(
            "spaces"
            if "namespaces" in words
            else "tasks"
            if "tasks" in words
            else "info"
            if "info" in words
            else "idents",
            "",
        )

    with saying(containerd, "ctr", ctr):
        for name, runtime in (("containerd", containerd), ("cri", cri)):
            each_found(_runtimes._ask(name, runtime, WANTED))
            _runtimes.running(name, None)


# -- Open vSwitch


def _table(name: str, *rows: dict[str, Any]) -> dict[str, Any]:
    columns = list(ovs_tables.COLUMNS[name])
    return {"headings": columns, "data": [[row.get(column, ["set", []]) for column in columns] for row in rows]}


OVS = [
    [
        _table(
            "Bridge",
            {
                "name": "sw0",
                "ports": ["set", [["uuid", "p0"], ["uuid", "p1"]]],
                "datapath_type": "netdev",
                "stp_enable": False,
                "external_ids": ["map", [["pipework.owner", "pipework:auto"]]],
                "rstp_enable": True,
                "other_config": ["map", [["hwaddr", "06:00:00:00:00:01"], ["stp-hello-time", "2"]]],
                "fail_mode": "secure",
            },
        ),
        _table(
            "Port",
            {"_uuid": ["uuid", "p0"], "name": "sw0", "interfaces": ["uuid", "i0"], "protected": False},
            {
                "_uuid": ["uuid", "p1"],
                "name": "pw1",
                "interfaces": ["uuid", "i1"],
                "tag": 10,
                "trunks": ["set", [20, 30]],
                "vlan_mode": "native-untagged",
                "protected": True,
            },
        ),
        _table(
            "Interface",
            {"_uuid": ["uuid", "i0"], "ofport": 65534, "type": "internal", "external_ids": ["map", []]},
            {
                "_uuid": ["uuid", "i1"],
                "ofport": 1,
                "error": "no",
                "type": "vxlan",
                "options": ["map", [["remote_ip", "::1"]]],
                "external_ids": ["map", [["pipework.nspid", "7"], ["pipework.containerid", IDENT]]],
                "mtu_request": 1400,
            },
        ),
    ]
]


def read_ovs(said: Any) -> None:
    text = "\n".join(map(json.dumps, said)) if isinstance(said, list) else json.dumps(said)
    with saying(ovs_client, "run", lambda *_argv, **_how: program.Done(0, text, "")):
        ovs_client._read()


def read_ovs_text(text: str) -> None:
    with saying(ovs_client, "run", lambda *_argv, **_how: program.Done(0, text, "")):
        ovs_client._read()


# -- packet filters


def _match(key: str, op: str, right: Any) -> dict[str, Any]:
    return {"match": {"op": op, "left": {"meta": {"key": key}}, "right": right}}


BASE = {
    "chain": {
        "family": "inet",
        "table": "t",
        "name": "forward",
        "type": "filter",
        "hook": "forward",
        "prio": 0,
        "policy": "drop",
        "handle": 1,
    }
}
NFT = [
    {
        "nftables": [
            {"metainfo": {"version": "1.0.6"}},
            {"table": {"family": "inet", "name": "t", "handle": 1, "flags": ["owner"]}},
            BASE,
            {"chain": {"family": "inet", "table": "t", "name": "more", "handle": 2}},
            {
                "set": {
                    "name": "s",
                    "elem": ["br1", {"elem": {"val": "br*", "timeout": 1}}],
                    "type": "ifname",
                    "table": "t",
                }
            },
            {
                "map": {
                    "name": "m",
                    "elem": [["br1", {"jump": {"target": "more"}}], ["*", {"drop": None}]],
                    "table": "t",
                }
            },
            *(
                {
                    "rule": {
                        "family": "inet",
                        "table": "t",
                        "chain": chain,
                        "handle": number,
                        "expr": expr,
                        "comment": comment,
                    }
                }
                for number, (chain, expr, comment) in enumerate(
                    [
                        (
                            "forward",
                            [_match("iifname", "==", "br1"), _match("oifname", "==", "br1"), {"accept": None}],
                            "pipework:br1",
                        ),
                        (
                            "forward",
                            [
                                _match("iifname", "!=", {"set": ["br1", "br2"]}),
                                {"counter": {"packets": 1}},
                                {"drop": None},
                            ],
                            "",
                        ),
                        ("forward", [_match("nfproto", "==", "@s"), {"jump": {"target": "more"}}], ""),
                        (
                            "more",
                            [
                                {
                                    "vmap": {
                                        "key": {"concat": [{"meta": {"key": "iifname"}}, {"meta": {"key": "oifname"}}]},
                                        "data": {"set": [[{"concat": ["br1", "br1"]}, {"accept": None}]]},
                                    }
                                }
                            ],
                            "",
                        ),
                        ("more", [{"vmap": {"key": {"meta": {"key": "iifname"}}, "data": "@m"}}], ""),
                        ("more", [{"goto": {"target": "more"}}], ""),
                    ]
                )
            ),
        ]
    }
]
FORWARD = Place("nft", "inet", "t", "forward")


def judge(known: Any) -> None:
    """What is made of a filter that was understood."""
    if known is not None:
        known.ours()
        known.drops("br1")
        known.drops_routed("br1")


def read_nft(said: Any) -> None:
    text = json.dumps(said)

    def run(argv: Any, *_given: Any) -> Any:
        shown = text if "-j" in argv else "table inet t {\n\tflags owner, x\n"
        return program.Done(0, shown, "")

    with saying(firewall, "_run", run), saying(firewall, "_find", lambda name: name if name == "nft" else ""):
        for known in firewall._read():
            judge(known)


IPTABLES = [
    """# Generated by iptables-save
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [12:3400]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -i br1 -o br1 -m comment --comment "pipework:br1" -j ACCEPT
-A FORWARD -i br+ ! -o "br 2" -m physdev --physdev-is-bridged -g DOCKER-USER
-A DOCKER-USER -m comment --comment "a \\"b\\" \\\\" -j RETURN
COMMIT
""",
    ":FORWARD ACCEPT [0:0]\n-A FORWARD -i br1 -j REJECT --reject-with icmp-port-unreachable\n",
]


def read_iptables(text: str) -> None:
    nft.flags_in(text)
    done = program.Done(0, text, "")
    with saying(firewall, "_run", lambda *_given: done), saying(firewall, "_program", lambda *_given: "iptables"):
        for known in firewall._iptables("iptables-nft", ("ipv4",)):
            judge(known)


TARGETS = [
    Target("docker", documents(DOCKER), read_docker, form=JSON),
    Target("podman", json_texts(PODMAN), read_podman),
    Target("incus", documents(INCUS), read_incus, form=JSON),
    Target("ctr", documents(CTR), read_ctr, form=JSON),
    Target("ovs", documents(OVS), read_ovs, form=JSON),
    Target("ovs_text", texts(["\n".join(json.dumps(table) for table in tables) for tables in OVS]), read_ovs_text),
    Target("nft", documents(NFT), read_nft, form=JSON),
    Target("iptables", texts(IPTABLES), read_iptables),
]
kept, made_up = parameters(TARGETS)


@kept
def test_B17_an_answer_that_was_stumbled_over_once(target: Target, path: Path) -> None:
    try_kept(target, path)


@made_up
def test_B17_no_answer_ends_a_run_without_words(target: Target) -> None:
    fuzz(target)
