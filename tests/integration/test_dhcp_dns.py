# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""pipework_attach with dhcp_dns: name servers of a real server's lease in the container's own resolv.conf."""

from __future__ import annotations

import contextlib
import os
import signal
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from tests.integration.files import TRAPS, content, guest, machine, private_etc
from tests.integration.lab import Host, failing_at, followed, refusal, wait_for
from tests.integration.test_dhcp import USUAL, running_dnsmasq, segment, server

__all__ = ["segment"]
pytestmark = pytest.mark.root
ASKING: dict[str, t.Any] = {"dhcp": "builtin", "dhcp_timeout": 20, "dhcp_dns": True}
LINES = ("nameserver 10.5.0.53", "search example.org")
OLD = b"# the engine's\nnameserver 127.0.0.11\nsearch old.example\r\noptions edns0\n\0\xff tail"
PATH = "/etc/netns/a/resolv.conf"


@pytest.fixture(autouse=True)
def site(host: Host) -> Iterator[Host]:
    """A host with an /etc of its own, whose resolv.conf is as before, and so is the machine's."""
    before = machine()
    private_etc(host)
    of_the_host = content(host, "/etc/resolv.conf")
    yield host
    assert content(host, "/etc/resolv.conf") == of_the_host
    assert machine() == before


def given_file(host: Host, text: bytes = OLD) -> None:
    def write() -> None:
        os.makedirs("/etc/netns/a", exist_ok=True)
        Path(PATH).write_bytes(text)

    host.call(write)


def sure(host: Host, container: str = "a", **params: t.Any) -> dict[str, t.Any]:
    """A check run, and then the run itself, which must do what was said, and nothing when it is repeated."""
    said = host.attach(container, check=True, **params)
    done = host.attach(container, **params)
    followed(said, done)
    assert not host.attach(container, **params)["changed"]
    return done


def kinds(done: dict[str, t.Any]) -> list[tuple[str, str]]:
    return [(each["action"], each["kind"]) for each in done["operations"]]


@pytest.mark.parametrize("how", ["false", "absent", "absent, and /run was emptied"])
def test_P24_name_servers_of_a_lease_on_request_and_back(segment: Host, how: str) -> None:
    host = segment
    given_file(host)
    with server(host):
        without = {**ASKING, "dhcp_dns": None}
        host.attach("a", **without)
        assert content(host, PATH) == OLD  # only on request
        host.attach("a", state="absent")
        done = sure(host, **ASKING)
        assert ("create", "lease") in kinds(done)
        text = content(host, PATH) or b""
        ours = b"nameserver 10.5.0.53\nsearch example.org\n"
        assert text.startswith(b"# pipework eth1: begin\n" + ours + b"# pipework eth1: end\n")
        assert b"\n# pipework eth1: was nameserver 127.0.0.11\n" in text and b"\noptions edns0\n" in text
        seen = host.sh("ip", "netns", "exec", "a", "grep", "-a", "^nameserver", "/etc/resolv.conf")
        assert seen == "nameserver 10.5.0.53\n"
        if how == "false":
            done = sure(host, **{**ASKING, "dhcp_dns": False})
            assert kinds(done) == [("delete", "resolver")]
            assert done["operations"][0]["before"] == {"lines": LINES}
            assert content(host, PATH) == OLD
            done = sure(host, **ASKING)
            assert kinds(done) == [("create", "resolver")]
        elif "emptied" in how:
            host.sh("rm", "-rf", "/run/pipework")
        done = host.attach("a", state="absent")
        assert ("delete", "resolver") in kinds(done)
        assert content(host, PATH) == OLD
        assert not host.attach("a", state="absent")["changed"]


def test_P24_a_file_that_is_missing_comes_and_goes(segment: Host) -> None:
    host = segment
    with server(host):
        sure(host, **ASKING)
        assert content(host, PATH) == b"# pipework eth1: begin, made, folder\n" + b"\n".join(
            [*(line.encode() for line in LINES), b"# pipework eth1: end\n"]
        )
        host.attach("a", purge=True, attachments=[])
        assert not host.ok("ls", "/etc/netns")


def test_P24_the_container_was_started_anew(segment: Host) -> None:
    """Its interface is gone with its old namespace, and the file has the old lines still."""
    host = segment
    given_file(host)
    with server(host):
        sure(host, **ASKING)
        host.end_guest("a")
        assert host.attach("a", state="absent")["changed"]  # also where nothing is there any more
        assert content(host, PATH) == OLD
        host.add_guests("a")
        sure(host, **ASKING)
        host.end_guest("a")
        host.add_guests("a")
        sure(host, **ASKING, interface="eth2")
        assert (content(host, PATH) or b"").count(b": begin") == 1
        host.attach("a", interface="eth2", state="absent")
        assert content(host, PATH) == OLD


def test_P24_a_lease_without_name_servers(segment: Host) -> None:
    host = segment
    given_file(host)
    with server(host, options=["6", "15,example.org"]):  # dnsmasq names itself unless told otherwise
        done = host.attach("a", **ASKING)
        words = "dhcp_dns: the lease of netns:a/eth1 names no servers; the container's resolv.conf is left as it is."
        assert done["warnings"] == [words] and done["attachments"][0]["lease"]["dns"] == []
        assert content(host, PATH) == OLD
        again = host.attach("a", **ASKING)
        assert not again["changed"] and again["warnings"] == [words]
    with server(host):  # a new lease brings some
        sure(host, **ASKING, dhcp_hostname="other")
        assert LINES[0].encode() in (content(host, PATH) or b"")
        host.attach("a", state="absent")
        assert content(host, PATH) == OLD


def test_P24_B16_servers_of_both_families(segment: Host) -> None:
    host = segment
    host.batch("address add fd05::fe/64 dev br1\n")
    more = ["--dhcp-range=10.5.0.100,10.5.0.120,2m", "--dhcp-range=fd05::100,fd05::200,64,2m", "--no-ping"]
    more += ["--dhcp-option=6,10.5.0.53,10.5.0.54", "--dhcp-option=option6:dns-server,[fd05::53],[fd05::54]"]
    with running_dnsmasq(host, [*more, "--dhcp-authoritative"]):
        sure(host, **ASKING, dhcp6=True)
        text = content(host, PATH) or b""
        assert b"\nnameserver 10.5.0.53\nnameserver 10.5.0.54\nnameserver fd05::53\n#" in text
        sure(host, **{**ASKING, "dhcp": None}, dhcp6=True, addresses=["10.5.0.9/24"])
        assert b"\nnameserver fd05::53\nnameserver fd05::54\n#" in (content(host, PATH) or b"")
        sure(host, **{**ASKING, "dhcp": None, "dhcp_dns": None}, dhcp6=True)
        assert content(host, PATH) is None
        host.attach("a", state="absent")


def test_P24_one_attachment_of_a_container(segment: Host) -> None:
    host = segment
    both = {"runtime": "netns", "container": "a", "host_interface": "br1", **ASKING}
    before = host.snapshot()
    said = refusal(lambda: host.run(**both, attachments=[{"interface": "eth1"}, {"interface": "eth2"}])) or ""
    assert said.startswith("attachments[1]: dhcp_dns: netns:a would get name servers by eth1 and by eth2")
    assert said.endswith("Nothing was changed.")
    host.assert_as(before)
    with server(host):
        sure(host, **ASKING)
        said = refusal(lambda: host.attach("a", interface="eth2", **ASKING)) or ""
        assert "dhcp_dns: netns:a has name servers by eth1 already" in said
        moved = [{"interface": "eth1", "dhcp_dns": False}, {"interface": "eth2", "gateway": []}]
        host.run(**both, attachments=moved)
        assert (content(host, PATH) or b"").startswith(b"# pipework eth2: begin")
        assert not host.run(**both, attachments=moved)["changed"]
        host.run(**both, state="absent", attachments=[{"interface": "eth1"}, {"interface": "eth2"}])
        assert content(host, PATH) is None


def test_P24_what_cannot_be(host: Host) -> None:
    wrong = [
        ({"dhcp_dns": True}, "dhcp_dns: without 'dhcp' or 'dhcp6' there is no lease"),
        ({**ASKING, "runtime": "host", "container": None}, "dhcp_dns: the host's resolv.conf is never written"),
        ({**ASKING, "container": "/run/../run/netns/a"}, "a network namespace that is known by a path alone"),
        ({**ASKING, "interface": "ätha"}, "dhcp_dns: the interface's name 'ätha' must be of ASCII"),
    ]
    before = host.snapshot()
    for params, words in wrong:
        said = refusal(lambda params=params: host.attach(**{"container": "a", **params})) or ""
        assert words in said and "\n" not in said, said
    host.assert_as(before)


@pytest.mark.parametrize("trap", TRAPS)
def test_P24_B14_what_a_container_puts_in_its_place(host: Host, trap: str) -> None:
    make, words = TRAPS[trap]
    link = {"circle": lambda path: os.symlink("resolv.conf", path)}
    before = host.snapshot()
    with guest(host, lambda: link.get(trap, make)("etc/resolv.conf")) as found:
        for check in (True, False):
            with pytest.raises(PipeworkError) as caught:
                host.attach(**found.given, **ASKING, check=check)
            said = str(caught.value)
            assert said.startswith(f"dhcp_dns: {found.pid}: /etc/resolv.conf {words}"), said
            assert said.endswith("Nothing was changed.") and "\n" not in said
        host.assert_as(before)
        assert host.attach(**found.given, addresses=["10.5.0.9/24"])["changed"]  # nobody else is hindered by it
        assert host.attach(**found.given, state="absent")["changed"]
    host.assert_as(before)


def test_P24_B14_an_answer_with_other_things_in_it(segment: Host) -> None:
    """A domain that is none is left out; nothing but addresses and checked names is written."""
    host = segment
    with server(host, options=["3,10.5.0.254", "6,10.5.0.53", "15,x$(id)"]):
        sure(host, **ASKING)
        assert b"$" not in (content(host, PATH) or b"") and b"search" not in (content(host, PATH) or b"")
        host.attach("a", state="absent")


def test_B4_P24_a_failure_leaves_the_bytes_as_before(segment: Host) -> None:
    host = segment
    given_file(host)
    with server(host):
        for number in range(40):  # those of the second round are in no check run
            with contextlib.suppress(PipeworkError):
                host.attach("a", step=failing_at(number), **ASKING)
                break
            assert content(host, PATH) == OLD and "eth1" not in host.links("a"), number
        there = content(host, PATH)
        assert there != OLD
        count = len(host.attach("a", check=True, state="absent")["operations"])
        for number in range(count):
            said = refusal(lambda number=number: host.attach("a", step=failing_at(number), state="absent")) or ""
            assert said.endswith(("Nothing was changed.", "everything is as it was.")), said
            assert content(host, PATH) == there, number
            assert not host.attach("a", **ASKING)["changed"]
        host.attach("a", state="absent")
        assert content(host, PATH) == OLD


def test_P24_P21_a_kept_lease_with_other_servers(segment: Host) -> None:
    host = segment
    given_file(host)
    kept = {**ASKING, "dhcp_keep": True}
    try:
        with server(host):
            host.attach("a", **kept)
        renewing = ["3,10.5.0.254", "6,10.5.0.77", "15,new.example", "26,1400", "58,3", "59,90"]
        with server(host, options=[*USUAL, "58,3", "59,90"]):
            host.attach("a", **kept, dhcp_hostname="soon")
        with server(host, options=renewing):
            new = b"\nnameserver 10.5.0.77\nsearch new.example\n"
            wait_for("the renewal", lambda: new in (content(host, PATH) or b""), 60)
            # It is renewed every three seconds, which may come between two looks at it: only the file counts here.
            assert ("update", "resolver") not in kinds(host.attach("a", **kept, dhcp_hostname="soon"))
            done = host.attach("a", **{**kept, "dhcp_dns": False}, dhcp_hostname="soon")
            assert {("delete", "resolver"), ("update", "dhcp_keep")} <= set(kinds(done))
            assert content(host, PATH) == OLD
            host.attach("a", **kept, dhcp_hostname="soon")
            assert new in (content(host, PATH) or b"")
            host.attach("a", state="absent")
            assert content(host, PATH) == OLD
    finally:
        host.attach("a", state="absent")
        with contextlib.suppress(AssertionError):
            wait_for("its end", lambda: not host.ok("ls", "/run/pipework/keeper"), 20)
        said = host.sh("cat", "/run/pipework/keeper/lock", check=False)
        assert not said, os.kill(int(said.split(":")[1].split(",")[0]), signal.SIGKILL)
