# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The classic command line: each example of its documentation, each form of its usage text, and what is refused."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pipework.containers.plugins.module_utils._attach.options import Attachment
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._grammar.classic import (
    Line,
    format_line,
    parse,
    words_of,
)
from ansible_collections.pipework.containers.plugins.module_utils._grammar.macros import MACROS, expand

# The lines of the script's documentation, with a container's name where those have a variable or a `docker run`.
# Copies of that text that lost their addresses are the second table.
EXAMPLES: dict[str, dict[str, Any]] = {
    "pipework br1 apache 192.168.1.1/24": {
        "host_interface": "br1", "container": "apache", "addresses": ["192.168.1.1/24"]},
    "pipework br1 mysql 192.168.1.2/24": {
        "host_interface": "br1", "container": "mysql", "addresses": ["192.168.1.2/24"]},
    "pipework br1 web1 192.168.12.23/24": {
        "host_interface": "br1", "container": "web1", "addresses": ["192.168.12.23/24"]},
    "pipework br1 -i eth2 web1 192.168.1.1/24": {
        "host_interface": "br1", "interface": "eth2", "container": "web1", "addresses": ["192.168.1.1/24"]},
    "pipework br1 -i eth2 -l hostapp1 web1 192.168.1.1/24": {
        "host_interface": "br1", "interface": "eth2", "local_interface": "hostapp1", "container": "web1",
        "addresses": ["192.168.1.1/24"]},
    "pipework br1 c1 192.168.4.25/20": {"host_interface": "br1", "container": "c1", "addresses": ["192.168.4.25/20"]},
    "pipework br1 c1 192.168.4.25/20@192.168.4.1": {
        "host_interface": "br1", "container": "c1", "addresses": ["192.168.4.25/20"], "gateway": ["192.168.4.1"]},
    "pipework eth2 hipache 50.19.169.157/24": {
        "host_interface": "eth2", "container": "hipache", "addresses": ["50.19.169.157/24"]},
    "pipework eth3 hipache2 107.22.140.5/24": {
        "host_interface": "eth3", "container": "hipache2", "addresses": ["107.22.140.5/24"]},
    "pipework --direct-phys eth1 c1 192.168.1.2/24": {
        "host_interface": "eth1", "kind": "phys", "container": "c1", "addresses": ["192.168.1.2/24"]},
    "pipework eth0 c1 10.1.1.234/24@10.1.1.254": {
        "host_interface": "eth0", "container": "c1", "addresses": ["10.1.1.234/24"], "gateway": ["10.1.1.254"]},
    "pipework br1 c1 0/0": {"host_interface": "br1", "container": "c1"},
    "pipework dummy c1 192.168.21.101/24@192.168.21.1": {
        "host_interface": "dummy", "container": "c1", "addresses": ["192.168.21.101/24"], "gateway": ["192.168.21.1"]},
    "pipework eth1 c1 dhclient": {"host_interface": "eth1", "container": "c1", "dhcp": "dhclient"},
    "pipework eth1 c1 udhcpc": {"host_interface": "eth1", "container": "c1", "dhcp": "udhcpc"},
    "pipework eth1 c1 dhcpcd": {"host_interface": "eth1", "container": "c1", "dhcp": "dhcpcd"},
    "pipework eth1 c1 dhcp": {"host_interface": "eth1", "container": "c1", "dhcp": "docker"},
    "pipework eth1 c1 dhclient-f": {"host_interface": "eth1", "container": "c1", "dhcp": "dhclient", "dhcp_keep": True},
    "pipework eth1 c1 udhcpc-f": {"host_interface": "eth1", "container": "c1", "dhcp": "udhcpc", "dhcp_keep": True},
    "pipework eth1 c1 dhcp:-f": {"host_interface": "eth1", "container": "c1", "dhcp": "docker", "dhcp_keep": True},
    "pipework eth0 haproxy 192.168.1.2/24 26:2e:71:98:60:8f": {
        "host_interface": "eth0", "container": "haproxy", "addresses": ["192.168.1.2/24"],
        "mac_address": "26:2e:71:98:60:8f"},
    "pipework br0 zerorpcworker dhcp fa:de:b0:99:52:1c": {
        "host_interface": "br0", "container": "zerorpcworker", "dhcp": "docker", "mac_address": "fa:de:b0:99:52:1c"},
    "pipework eth0 c1 dhcp U:myhost.foo.com": {
        "host_interface": "eth0", "container": "c1", "dhcp": "docker", "mac_address": "U:myhost.foo.com"},
    "pipework ovsbr0 zerorpcworker dhcp @10": {
        "host_interface": "ovsbr0", "container": "zerorpcworker", "dhcp": "docker", "vlan": 10},
    "pipework ovsbr0 mysql 192.168.1.8/24": {
        "host_interface": "ovsbr0", "container": "mysql", "addresses": ["192.168.1.8/24"]},
    "pipework ib0 c1 10.10.10.10/24": {"host_interface": "ib0", "container": "c1", "addresses": ["10.10.10.10/24"]},
    "pipework ib0 c1 10.10.10.10/24 @8001": {
        "host_interface": "ib0", "container": "c1", "addresses": ["10.10.10.10/24"], "pkey": "0x8001"},
    # forms that the usage text has and no example shows
    "pipework br1 -i eth2 -l app1 -a 6 c1 2001:db8::1/64@2001:db8::fe 02:00:00:00:00:07@20": {
        "host_interface": "br1", "interface": "eth2", "local_interface": "app1", "container": "c1",
        "addresses": ["2001:db8::1/64"], "gateway": ["2001:db8::fe"], "mac_address": "02:00:00:00:00:07", "vlan": 20},
    "pipework mac:52:54:00:12:34:56 c1 10.0.0.1/24": {
        "host_interface": "mac:52:54:00:12:34:56", "container": "c1", "addresses": ["10.0.0.1/24"]},
    "pipework br1 c1 192.168.1.1/255.255.255.0": {
        "host_interface": "br1", "container": "c1", "addresses": ["192.168.1.1/24"]},
    "pipework br1 web1 192.168.1.1/24@192.168.1.254 U:web1@10": {
        "host_interface": "br1", "container": "web1", "addresses": ["192.168.1.1/24"], "gateway": ["192.168.1.254"],
        "mac_address": "U:web1", "vlan": 10},
    "pipework eth1 c1 'udhcpc-f:-r 10.0.0.5 -T 2'": {
        "host_interface": "eth1", "container": "c1", "dhcp": "udhcpc", "dhcp_keep": True,
        "dhcp_options": ["-r", "10.0.0.5", "-T", "2"]},
}  # fmt: skip

COMMANDS = {
    "pipework route c1 add 10.0.5.0/24 via 192.168.2.1": (
        "pipework_route", ["add", "10.0.5.0/24", "via", "192.168.2.1"]),
    "pipework route c1 replace default via 10.2.3.78": ("pipework_route", ["replace", "default", "via", "10.2.3.78"]),
    "pipework rule c1 add from 172.19.0.2/32 table 1": (
        "pipework_rule", ["add", "from", "172.19.0.2/32", "table", "1"]),
    "pipework rule c1 add to 172.19.0.2/32 table 1": ("pipework_rule", ["add", "to", "172.19.0.2/32", "table", "1"]),
    "pipework tc c1 qdisc add dev eth0 root netem loss 30%": (
        "pipework_tc", ["qdisc", "add", "dev", "eth0", "root", "netem", "loss", "30%"]),
}  # fmt: skip

INCOMPLETE = (
    "pipework br1",
    "pipework br1 c1",
    "pipework eth2 c1",
    "pipework --direct-phys eth1 c1",
    "pipework dummy c1",
    "pipework br1 -i eth2",
    "pipework ib0 c1",
    "pipework eth0 c1",
    "pipework route c1 add via",
    "pipework route c1 replace default via",
    "pipework rule c1",
    "pipework tc c1",
    "pipework route",
)


@pytest.mark.parametrize("line", EXAMPLES)
def test_P47_an_example_means_these_options(line: str) -> None:
    assert parse(line) == Line("pipework_attach", EXAMPLES[line])
    assert parse(shlex.split(line)) == parse(line)


@pytest.mark.parametrize("line", [line for line in EXAMPLES if "dhc" not in line and "@8001" not in line])
def test_P47_what_an_example_means_is_an_attachment(line: str) -> None:
    Attachment.from_params(parse(line).params)


@pytest.mark.parametrize("line", COMMANDS)
def test_P32_P33_P34_a_command_for_the_container(line: str) -> None:
    module, words = COMMANDS[line]
    assert parse(line) == Line(module, {"container": "c1", "cmd": words})


def test_P18_wait() -> None:
    assert parse("pipework --wait") == Line("pipework_wait", {})
    assert parse("pipework --wait -i ib0") == Line("pipework_wait", {"interface": "ib0"})


@pytest.mark.parametrize("line", [*EXAMPLES, *COMMANDS, "--wait", "--wait -i ib0"])
def test_P47_a_line_that_is_written_again_means_the_same(line: str) -> None:
    found = parse(line)
    assert parse(format_line(found)) == found
    assert format_line(parse(format_line(found))) == format_line(found)


@pytest.mark.parametrize("line", INCOMPLETE)
def test_P47_half_a_line_says_what_should_follow(line: str) -> None:
    with pytest.raises(PipeworkError, match=r"is not complete: .* should follow after"):
        parse(line)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("br1 c1 192.168.1.1", "The IP address should include a netmask. Maybe you meant 192.168.1.1/24?"),
        ("br1 c1 2001:db8::1", "The IP address should include a netmask. Maybe you meant 2001:db8::1/64?"),
        ("br1 c1 10.0.0.1@10.0.0.9", "Maybe you meant 10.0.0.1/24@10.0.0.9?"),
        ("br1 c1 eth5", "word 3, 'eth5', is neither an address such as 192.168.1.1/24, nor dhcp, udhcpc"),
        ("br1 c1 10.0.0.1/33", "'33' is not a netmask"),
        ("br1 c1 10.0.0.1/24@", "gateway: '' is not an IP address"),
        ("br1 c1 10.0.0.1/24@router", "gateway: 'router' is not an IP address"),
        ("br1 -a 6 c1 10.0.0.1/24", "word 5, '10.0.0.1/24', does not belong to '-a 6'"),
        ("br1 -a 5 c1 10.0.0.1/24", "4 or 6 would be right"),
        ("br1 -i eth2 -i eth3 c1 10.0.0.1/24", "word 4, '-i', is given twice"),
        ("br1 -x c1 10.0.0.1/24", "word 2, '-x', is not an option that is known; -i, -l and -a are"),
        ("--verbose br1 c1 10.0.0.1/24", "word 1, '--verbose', is not an option that is known"),
        ("--save f br1 c1 10.0.0.1/24", "'commands' takes a list of lines"),
        ("br1 c1 10.0.0.1/24 01:00:5e:00:00:01", "is a multicast address"),
        ("br1 c1 10.0.0.1/24 web1", "'web1' is not a MAC address"),
        ("ib0 c1 10.0.0.1/24 02:00:00:00:00:01", "MACADDR configuration unsupported for IPoIB interfaces"),
        ("ib0 c1 10.0.0.1/24 @xyz", "up to four hex digits, such as @8001"),
        ("br1 c1 10.0.0.1/24 @", "a number from 1 to 4094, such as @10"),
        ("br1 c1 10.0.0.1/24 @4095", "a number from 1 to 4094, such as @10"),
        ("br1 c1 10.0.0.1/24 @10 more", "word 5, 'more', is not known here"),
        ("--wait eth1", "word 2, 'eth1', is not known here"),
        ("a-name-that-is-too-long c1 10.0.0.1/24", "an interface name has at most 15"),
        ("mac:zz c1 10.0.0.1/24", "'zz' is not a MAC address"),
        ("", "the line is empty"),
        ("br1 c1 'x", "a quote is not closed"),
        ("br1 c1 x\\", "a backslash stands at the end"),
    ],
)
def test_P8_P28_P47_what_cannot_be_is_said(line: str, words: str) -> None:
    with pytest.raises(PipeworkError) as caught:
        parse(line)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "br1 $APACHE 192.168.1.1/24",
        'br1 "$APACHE" 192.168.1.1/24',
        "br1 $(docker run -d apache /usr/sbin/httpd -D FOREGROUND) 192.168.1.1/24",
        "br1 `docker ps -q` 192.168.1.1/24",
        "br1 c1 192.168.1.1/24; rm -rf /",
        "br1 c1 192.168.1.1/24 | tee log",
        "br1 c1 192.168.1.1/24 > log",
        "br1 c1 192.168.1.1/24 && reboot",
        "route c1 add 10.0.0.0/8 via 10.0.0.1;reboot",
    ],
)
def test_B14_what_only_a_shell_understands_is_refused(line: str) -> None:
    with pytest.raises(PipeworkError, match="is for a shell, and nothing here is run by one"):
        parse(line)


@pytest.mark.parametrize("name", ["a;b", "$(reboot)", "`x`", "a b", "it's", 'say "hi"', "a|b", "back\\slash", "ü", "-"])
def test_B14_odd_names_survive_in_quotes_and_in_lists(name: str) -> None:
    wanted = {"host_interface": "br1", "container": name, "addresses": ["10.0.0.1/24"]}
    if not name.startswith("-"):
        assert parse(f"br1 {shlex.quote(name)} 10.0.0.1/24").params == wanted
        assert parse(["br1", name, "10.0.0.1/24"]).params == wanted
    assert parse(["route", name, "add", "default", "via", "10.0.0.1"]).params["container"] == name


def test_P47_lists_may_hold_numbers_but_nothing_else() -> None:
    assert parse(["route", "c1", "add", "default", "via", "10.0.0.1", "metric", 5]).params["cmd"][-1] == "5"
    for wrong in (["br1", None], ["br1", True], 7, None):
        with pytest.raises(PipeworkError):
            parse(wrong)


def test_P47_an_empty_mac_address_is_none() -> None:
    assert parse(["br1", "c1", "10.0.0.1/24", ""]).params == parse("br1 c1 10.0.0.1/24").params


def test_P47_a_line_over_several_lines() -> None:
    assert parse("br1 \\\n  c1 \\\n  10.0.0.1/24\n") == parse("br1 c1 10.0.0.1/24")


PIECES = st.sampled_from((
    "br1", "ib0", "dummy", "route", "rule", "tc", "--wait", "--direct-phys", "-i", "-l", "-a", "4", "6", "c1", "0/0",
    "10.0.0.1/24", "10.0.0.1/24@10.0.0.9", "2001:db8::1/64", "dhcp", "udhcpc-f", "dhcp:-f", "dhcpcd:-t 5", "@10",
    "U:x", "U:x@7", "02:00:00:00:00:01", "02:00:00:00:00:01@9", "add", "default", "via", "10.0.0.1", "'", "\\", "eth2",
))  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=8), max_size=8))
def test_P47_nothing_but_a_meaning_or_one_error_comes_of_words(words: list[str]) -> None:
    try:
        found = parse(words)
    except PipeworkError:
        return
    assert parse(list(words_of(found))) == found
    assert parse(format_line(found)) == found


@given(st.lists(PIECES | st.text(max_size=8), max_size=8).map(" ".join) | st.text(max_size=40))
def test_P47_nothing_but_a_meaning_or_one_error_comes_of_a_line(line: str) -> None:
    try:
        found = parse(line)
    except PipeworkError:
        return
    assert parse(format_line(found)) == found


def test_D3_macros() -> None:
    values = {"CONTAINER_NAME": "shop_web_2", "CONTAINER_ID": "4f0c", "HOSTNAME": "web", "INSTANCE": "2",
              "COMPOSE_PROJECT_NAME": "shop"}  # fmt: skip
    assert set(values) == set(MACROS)
    line = ("br1", "@CONTAINER_NAME@", "10.0.0.@INSTANCE@/24", "U:@COMPOSE_PROJECT_NAME@-@HOSTNAME@@@INSTANCE@")
    assert expand(line, values) == ("br1", "shop_web_2", "10.0.0.2/24", "U:shop-web@2")
    assert expand(("@OTHER@", "a@10", "@CONTAINER_ID@"), values) == ("@OTHER@", "a@10", "4f0c")


def test_D3_a_macro_without_a_value_is_an_error() -> None:
    with pytest.raises(PipeworkError, match=r"@COMPOSE_PROJECT_NAME@ has no value .* CONTAINER_NAME\."):
        expand(("U:@COMPOSE_PROJECT_NAME@",), {"CONTAINER_NAME": "a", "COMPOSE_PROJECT_NAME": None})


@given(st.text())
def test_D3_B14_a_value_stays_inside_its_word(value: str) -> None:
    assert expand(("x", "U:@HOSTNAME@"), {"HOSTNAME": value}) == ("x", f"U:{value}")


# How people write the lines

PLAIN = Line("pipework_attach", {"host_interface": "br1", "container": "c1", "addresses": ["10.0.0.1/24"]})


@pytest.mark.parametrize(
    "line",
    [
        "./pipework br1 c1 10.0.0.1/24",
        "/usr/local/bin/pipework br1 c1 10.0.0.1/24",
        "sudo pipework br1 c1 10.0.0.1/24",
        "sudo -n /opt/pipework/pipework br1 c1 10.0.0.1/24",
        "bash pipework br1 c1 10.0.0.1/24",
        "sudo /bin/bash -e ./pipework.sh br1 c1 10.0.0.1/24",
        "pipework br1 c1 10.0.0.1/24;",
        "pipework br1 c1 10.0.0.1/24 ;",
        "pipework br1 c1 10.0.0.1/24 # the web server; it's new",
        "pipework br1 c1 10.0.0.1/24; # the web server",
        "# the web server\npipework br1 \\\n  c1 10.0.0.1/24\n\n",
        "  pipework br1 c1 10.0.0.1/24\r\n",
    ],
)
def test_P47_however_the_script_is_called(line: str) -> None:
    assert parse(line) == PLAIN


def test_P47_a_hash_in_a_word_or_in_quotes_is_no_comment() -> None:
    assert parse("br1 c#1 0/0").params["container"] == "c#1"
    assert parse("br1 '# c1' 0/0").params["container"] == "# c1"
    assert parse(["br1", "#c1", "0/0"]).params["container"] == "#c1"


def test_P47_a_bridge_may_be_called_as_what_calls_the_script() -> None:
    assert parse("bash c1 0/0").params["host_interface"] == "bash"
    assert parse("env c1 0/0").params["host_interface"] == "env"


@pytest.mark.parametrize("address", ["0/0", "0/24", "0.0.0.0/24", "0.0.0.0/0", "::/64"])
def test_P11_no_address_however_it_is_written(address: str) -> None:
    assert parse(f"br1 c1 {address}") == Line("pipework_attach", {"host_interface": "br1", "container": "c1"})


def test_P12_P14_a_mac_address_in_short() -> None:
    assert parse("br1 c1 0/0 aa:aa:aa:2:b:1@7").params["mac_address"] == "aa:aa:aa:02:0b:01"
    assert parse("mac:2:0:0:0:0:A c1 0/0").params["host_interface"] == "mac:02:00:00:00:00:0A"
    found = parse("--direct-phys mac:2:0:0:0:0:a c1 0/0").params
    assert (found["host_interface"], found["kind"]) == ("mac:02:00:00:00:00:0a", "phys")


@pytest.mark.parametrize("address", ["192.0.2.4/30", "240.0.0.1/24", "255.1.2.3/8"])
def test_P47_an_address_that_only_the_kernel_takes(address: str) -> None:
    found = parse(f"br1 c1 {address}").params
    assert found["addresses"] == [address]
    assert Attachment.from_params({**found, "classic": True}).addresses == (address,)
    with pytest.raises(PipeworkError, match=r"cannot be the address|address of the network itself"):
        Attachment.from_params(found)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("br1 c1 192.168.101.@INSTANCE@/24", "the macro @INSTANCE@, which is not filled in here; write the value"),
        ("br1 c1 10.0.0.1/24@@HOSTNAME@", "the macro @HOSTNAME@"),
        ("br1 c1 192.168.1.2/24@192.168.1.1/24", "needs none; 192.168.1.2/24@192.168.1.1 would be right"),
        ("br1 c1 192.168.1.2@192.168.1.1/24", "a mask after the gateway"),
        ("br1 '$C' 10.0.0.1/24", "word 2, '$C', is no container's name; nobody here fills in variables"),
        ("br1 '${WEB_1}' 10.0.0.1/24", "is no container's name; nobody here fills in variables"),
        ("br1 ' ' 10.0.0.1/24", "word 2, ' ', is no container's name."),
        ("route '' show", "is no container's name"),
        ("br1 c1 10.0.0.1/24 ;; reboot", "is for a shell"),
        ("br1 c1 10.0.0.1/24;;", "is for a shell"),
        ("br1 c1 10.0.0.1/24 && pipework br1 c2 10.0.0.2/24 # both", "is for a shell"),
    ],
)
def test_P8_P47_what_is_right_is_said(line: str, words: str) -> None:
    with pytest.raises(PipeworkError) as caught:
        parse(line)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "route c1 show", "route c1 list table 7", "route c1 ls", "route c1 get 10.0.0.1", "route c1 flush cache",
        "route c1 sh", "rule c1 list", "rule c1 show", "tc c1 qdisc show", "tc c1 -s qdisc show dev eth1",
        "tc c1 class ls dev eth1", "tc c1 -s -d filter show dev eth1",
    ],
)  # fmt: skip
def test_P32_P33_P34_a_line_that_only_asks(line: str) -> None:
    sort, _container, *words = line.split()
    found = parse(f"pipework {line}")
    assert found == Line("pipework_show", {"container": "c1", "sort": sort, "cmd": words})
    assert parse(format_line(found)) == found


@pytest.mark.parametrize("line", ["rule c1 get 10.0.0.1", "route c1 save", "route c1 restore", "tc c1 -n x qdisc show",
                                  "tc c1 -batch f", "tc c1 -s qdisc add dev eth1", "route c1 flush"])  # fmt: skip
def test_P32_P33_P34_what_does_more_than_ask_is_not_taken_for_it(line: str) -> None:
    with pytest.raises(PipeworkError):
        parse(line)
