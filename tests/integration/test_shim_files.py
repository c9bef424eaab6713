# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""D5: files that bring a shim back when the host starts; what ifupdown has of them is run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.integration.lab import Host, Killed, failing_at, killed_at, refusal, wait_for
from tests.integration.test_shim import OWN, WIRING, shim, waiting, what

pytestmark = pytest.mark.root
IFUPDOWN = "/etc/network/interfaces.d/pipework-nic0m"
MARK = "# Made by pipework.containers for the shim nic0m. What is changed here is lost.\n"


@pytest.fixture
def host() -> Iterator[Host]:
    """A host with an /etc of its own, whose NIC nic0 leads to a LAN."""
    found = Host("lan")
    found.sh("mkdir", "/run/upper", "/run/work")
    found.sh("mount", "-t", "overlay", "-o", "lowerdir=/etc,upperdir=/run/upper,workdir=/run/work", "overlay", "/etc")
    found.batch("link add nic0 type veth peer name nic0 netns lan\n" + WIRING)
    found.batch("link set nic0 up\n", ns="lan")
    yield found
    shim(found, state="absent")
    found.close()


def files(host: Host) -> dict[str, str]:
    """All that was made under /etc."""
    found = host.sh("find", "/run/upper", "-type", "f").split()
    return {"/etc" + path.removeprefix("/run/upper"): host.sh("cat", path) for path in found}


def test_D5_files_of_networkd(host: Host) -> None:
    """The NIC's own file is found by what networkd notes about its links; it gets a drop-in beside it."""
    said = refusal(lambda: shim(host, persistence="networkd", **OWN))
    assert said is not None and "networkd does not manage nic0" in said
    index = host.ip("link", "show", "nic0")[0]["ifindex"]
    host.sh("mkdir", "-p", "/run/systemd/netif/links")
    host.sh("tee", f"/run/systemd/netif/links/{index}", text="NETWORK_FILE=/lib/systemd/network/10-nic.network\n")
    done = shim(host, persistence="networkd", mac_address="02:00:00:00:00:09", **OWN)
    assert not shim(host, persistence="networkd", **OWN)["changed"]
    folder = "/etc/systemd/network"
    wanted = {
        f"{folder}/10-nic.network.d/pipework-nic0m.conf": f"{MARK}[Network]\nMACVLAN=nic0m\n",
        f"{folder}/50-pipework-nic0m.netdev": (
            f"{MARK}[NetDev]\nName=nic0m\nKind=macvlan\nMACAddress=02:00:00:00:00:09\nMTUBytes=1500\n\n"
            "[MACVLAN]\nMode=bridge\n"
        ),
        f"{folder}/50-pipework-nic0m.network": (
            f"{MARK}[Match]\nName=nic0m\n\n[Link]\nRequiredForOnline=no\n\n"
            "[Network]\nIPv6AcceptRA=no\nAddress=203.0.113.250/32\nAddress=fd03::250/128\n"
            "\n[Route]\nDestination=203.0.113.1/32\nScope=link\nProtocol=112\n"
            "\n[Route]\nDestination=203.0.113.64/27\nScope=link\nProtocol=112\n"
            "\n[Route]\nDestination=fd03::1/128\nProtocol=112\n"
        ),
    }
    assert files(host) == wanted and what(done)[-3:] == [f"create file {path}" for path in sorted(wanted)]
    host.sh("ip", "link", "set", "nic0m", "alias", "")  # as networkd brings it back
    assert what(shim(host, persistence="networkd", **OWN)) == what(shim(host, **OWN)) == []
    assert what(shim(host, persistence="none", **OWN))[0] == "update link nic0m", "a mark instead of the files"
    shim(host, persistence="networkd", **OWN)
    shim(host, state="absent")
    assert files(host) == {} and not host.ok("test", "-e", f"{folder}/10-nic.network.d")


def test_D5_the_commands_of_ifupdown_make_the_same(host: Host) -> None:
    shim(host, persistence="ifupdown", **OWN)
    before = host.snapshot()["host"]
    text = files(host)[IFUPDOWN]
    assert text.startswith(f"{MARK}auto nic0m\niface nic0m inet manual\n    pre-up ip link set dev nic0 up\n")
    commands = {words: [line.split(None, 1)[1] for line in text.splitlines() if line.split()[0] == words]
                for words in ("pre-up", "up", "post-down")}  # fmt: skip
    host.sh("sh", "-e", "-c", "\n".join(commands["post-down"]))
    assert host.link("nic0m") is None
    host.sh("sh", "-e", "-c", "\n".join(commands["pre-up"] + commands["up"]))
    assert not shim(host, persistence="ifupdown", **OWN)["changed"]
    host.assert_as({**host.snapshot(), "host": before})
    if shutil.which("ifquery"):
        assert host.sh("ifquery", "-i", IFUPDOWN, "--list").split() == ["nic0m"]


def test_D5_a_profile_of_networkmanager(host: Host) -> None:
    shim(host, persistence="networkmanager", mac_address="02:00:00:00:00:09", **OWN)
    [(path, text)] = files(host).items()
    assert path == "/etc/NetworkManager/system-connections/pipework-nic0m.nmconnection"
    assert host.sh("stat", "-c", "%a %u", path).split() == ["600", "0"]
    assert text == MARK + (
        "[connection]\nid=pipework-nic0m\ntype=macvlan\ninterface-name=nic0m\nautoconnect=true\n\n"
        "[ethernet]\ncloned-mac-address=02:00:00:00:00:09\nmtu=1500\n\n[macvlan]\nmode=2\nparent=nic0\n\n"
        "[ipv4]\nmethod=manual\nnever-default=true\nroute-metric=0\naddress1=203.0.113.250/32\nroute1=203.0.113.1/32\n"
        "route2=203.0.113.64/27\n\n"
        "[ipv6]\nmethod=manual\nnever-default=true\nroute-metric=1024\naddress1=fd03::250/128\nroute1=fd03::1/128\n"
    )
    shim(host, persistence="none", **OWN)
    assert files(host) == {}


def test_D5_files_are_whole_and_ours_or_not_touched(host: Host) -> None:
    shim(host, confirm_timeout=1, persistence="ifupdown", **OWN)
    wait_for("the watchdog", lambda: host.link("nic0m") is None and not waiting(host), 30)
    assert files(host) == {}, "what is taken back has no files either"
    number = len(shim(host, check=True, persistence="ifupdown", **OWN)["operations"])
    assert "a failure was injected" in str(
        refusal(lambda: shim(host, step=failing_at(number - 1), persistence="ifupdown", **OWN))
    )
    assert files(host) == {}
    with pytest.raises(Killed):
        shim(host, step=killed_at(number - 1), persistence="ifupdown", **OWN)
    assert what(shim(host, persistence="ifupdown", **OWN)) == [f"create file {IFUPDOWN}"]
    shim(host, state="absent")
    host.sh("sh", "-c", f"mkdir -p /etc/network/interfaces.d && echo auto nic0m >{IFUPDOWN}")
    for params, words in (
        ({**OWN, "persistence": "ifupdown"}, f"persistence: {IFUPDOWN} exists and was not made here"),
        ({"persistence": "ifupdown"}, "persistence: goes with 'addresses' of the shim's own"),
        ({**OWN, "name": "a;b", "persistence": "ifupdown"}, "name: 'a;b' has ';' in it"),
        ({**OWN, "addresses": [], "persistence": "networkmanager"}, "NetworkManager takes IPv4 routes only"),
    ):
        said = refusal(lambda params=params: shim(host, **params))  # type: ignore[misc]
        assert said is not None and words in said, said
    shim(host, state="absent")
    assert files(host) == {IFUPDOWN: "auto nic0m\n"}
