# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Lines of ours in files that are others'."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from ansible_collections.pipework.containers.plugins.module_utils._attach.resolv_conf import lines_of
from ansible_collections.pipework.containers.plugins.module_utils._files import blocks
from ansible_collections.pipework.containers.plugins.module_utils._files.blocks import HOSTS, RESOLVER, Style
from ansible_collections.pipework.containers.plugins.module_utils._ipam.dhcp4_grant import Grant

LINES = ("nameserver 10.5.0.53", "search example.org")
PIECES = (
    b"nameserver 127.0.0.11\n", b"domain x\r\n", b"search a b", b"options edns0\n", b"\n", b"\r\n", b"\0", b"\xff\xfe",
    b"  nameserver\t9.9.9.9\n", b"nameservers\n", b"nameserver", b"# pipework eth1: begin\n", b"# pipework eth1: end\n",
    b"# pipework eth1: was nameserver 1.1.1.1\n",
    b"# pipework web: begin, made, folder\n10.0.0.1 x\n# pipework web: end\n",
    b"# pipework eth1: begin, newline\n", b"127.0.0.1 localhost\n", b"no newline",
)
CONTENTS = some.lists(some.sampled_from(PIECES), max_size=8).map(b"".join)
STYLES = some.sampled_from((HOSTS, RESOLVER))


@given(CONTENTS, STYLES)
def test_P24_what_was_there_comes_back_byte_for_byte(content: bytes, style: Style) -> None:
    if "eth1" in blocks.read(content):
        return  # then it is ours, whoever wrote it
    new = blocks.put(content, "eth1", LINES, style)
    assert blocks.read(new)["eth1"] == LINES
    assert blocks.drop(new, "eth1", style) == (content, False)
    assert blocks.put(new, "eth1", LINES, style) == new
    other = blocks.put(new, "eth1", LINES[:1], style)
    assert blocks.read(other)["eth1"] == LINES[:1]
    assert blocks.drop(other, "eth1", style) == (content, False)


@given(CONTENTS, STYLES)
def test_P24_whatever_is_forged_there_is_an_end_of_it(content: bytes, style: Style) -> None:
    new = blocks.put(content, "eth1", LINES, style)
    assert blocks.read(new)["eth1"] == LINES
    gone, _folder = blocks.drop(new, "eth1", style)
    assert gone is None or "eth1" not in blocks.read(gone)


@given(some.permutations(["a", "b", "c"]), some.sampled_from([None, b"", b"127.0.0.1 localhost", b"x\n"]))
def test_P2_blocks_go_in_any_order(order: list[str], content: bytes | None) -> None:
    text: bytes | None = content
    for number, name in enumerate(("a", "b", "c")):
        text = blocks.put(text, name, (f"10.0.0.{number} {name}",), HOSTS, text is None)
    folder = False
    for name in order:
        assert text is not None
        text, folder = blocks.drop(text, name, HOSTS)
    assert (text, folder) == (content, content is None)


def test_P24_only_lines_that_count_are_hidden() -> None:
    content = b"# from the engine\nnameserver 127.0.0.11\noptions ndots:0\nsearch a\n"
    assert blocks.put(content, "eth1", LINES, RESOLVER) == (
        b"# pipework eth1: begin\nnameserver 10.5.0.53\nsearch example.org\n# pipework eth1: end\n# from the engine\n"
        b"# pipework eth1: was nameserver 127.0.0.11\noptions ndots:0\n# pipework eth1: was search a\n"
    )


def test_P24_what_others_wrote_below_a_file_of_ours_stays() -> None:
    new = blocks.put(None, "eth1", LINES, RESOLVER, True)
    assert blocks.drop(new, "eth1", RESOLVER) == (None, True)
    assert blocks.drop(new + b"options x\n", "eth1", RESOLVER) == (b"options x\n", False)


def test_P24_lines_of_leases() -> None:
    four = Grant("10.5.0.7/24", "10.5.0.1", "", "", dns=("10.5.0.53", "10.5.0.54"), domain="example.org")
    six = Grant("fd05::7/128", "", "", "", dns=("fe80::1", "fd05::53"), domain="other.org")
    assert lines_of([four, None], "eth1") == (
        "nameserver 10.5.0.53", "nameserver 10.5.0.54", "search example.org",
    )
    assert lines_of([four, six], "eth1")[2:] == ("nameserver fe80::1%eth1", "search example.org")
    assert lines_of([None, six], "eth1")[-1] == "search other.org"
    assert lines_of([Grant("10.5.0.7/24", "", "", "", domain="example.org")], "eth1") == ()
