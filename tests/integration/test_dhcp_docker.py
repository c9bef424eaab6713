# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""dhcp: docker. A helper container of a real engine asks a server that runs in another container."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import tarfile
import typing as t
from collections.abc import Iterator

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._ipam import store as ipam_store
from ansible_collections.pipework.containers.plugins.module_utils._model.objects import owner_of
from tests.conftest import IMAGE, unavailable
from tests.integration.lab import Killed, Work, wait_for
from tests.integration.test_docker import BRIDGE, NET4, PREFIX, Site, namespace, site

__all__ = ["site"]
pytestmark = [pytest.mark.root, pytest.mark.docker]
CONFIG = (
    f"start {NET4}.100\nend {NET4}.120\ninterface eth1\nlease_file /tmp/leases\nopt subnet 255.255.255.0\n"
    f"opt router {NET4}.254\nopt lease 600\nopt mtu 1400\nopt staticroutes 172.16.0.0/12 {NET4}.1\n"
)
APPLETS = ("sh", "cat", "kill", "sleep", "ip")


def serve(site: Site) -> None:
    """A container with BusyBox's server."""
    server = site.container("server")
    site.attach(server, addresses=[f"{NET4}.254/24"])
    site.sh(server, "sh", "-c", f"echo '{CONFIG}' >/tmp/config; touch /tmp/leases")
    server.exec_run(["udhcpd", "-f", "/tmp/config"], detach=True)
    wait_for("udhcpd", lambda: ":0043 " in site.sh(server, "cat", "/proc/net/udp"))


@pytest.fixture(params=["udhcpc", "dhclient"])
def image(request: pytest.FixtureRequest, docker_client: t.Any) -> Iterator[str]:
    """An image that has one client: the usual one, and one that is made of the machine's dhclient."""
    if request.param == "udhcpc":
        yield IMAGE
        return
    program, busybox = shutil.which("dhclient", path="/usr/sbin:/sbin"), shutil.which("busybox")
    if program is None or busybox is None:
        unavailable("dhclient or busybox is not installed: sudo make setup-system")
    said = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True).stdout
    files = [word for word in said.split() if word.startswith("/")]
    data, name = io.BytesIO(), f"{PREFIX}-dhclient"
    with tarfile.open(fileobj=data, mode="w") as archive:
        for path, place in [(str(program), "sbin/dhclient"), *((each, each.lstrip("/")) for each in files)]:
            archive.add(os.path.realpath(path), place)
        for applet in APPLETS:
            archive.add(os.path.realpath(str(busybox)), f"bin/{applet}")
    docker_client.api.import_image_from_data(data.getvalue(), repository=name)
    yield name
    docker_client.images.remove(name, force=True)


def helpers(site: Site) -> list[t.Any]:
    return list(site.client.api.containers(all=True, filters={"label": "pipework=helper"}))


def test_P20_a_helper_container_brings_the_lease(site: Site, image: str) -> None:
    serve(site)
    guest = site.container("a")
    given = {"dhcp": "docker", "dhcp_image": image, "dhcp_timeout": 60}
    done = site.attach(guest, **given)
    lease = done["attachments"][0]["lease"]
    assert (lease["client"], lease["server"], lease["mtu"]) == ("docker", f"{NET4}.254", 1400)
    assert lease["routes"] == [{"destination": "172.16.0.0/12", "gateway": f"{NET4}.1"}]
    assert f"inet {lease['address']} " in site.sh(guest, "ip", "address", "show", "eth1")
    assert site.ping(guest, f"{NET4}.254")
    assert not site.attach(guest, **given)["changed"]
    renewed = site.attach(guest, **given, dhcp_hostname="web1", dhcp_options=["vendor-class=shop"])
    assert [(each["action"], each["kind"]) for each in renewed["operations"]] == [("update", "lease")]
    assert renewed["attachments"][0]["lease"]["address"] == lease["address"]
    assert site.attach(guest, state="absent")["changed"]
    wait_for("the helpers' end", lambda: not helpers(site))


def test_P21_a_helper_container_goes_when_the_run_is_killed(site: Site) -> None:
    guest = site.container("a")
    params = {"dhcp": "docker", "dhcp_image": IMAGE, "host_interface": BRIDGE, "dhcp_timeout": 3}
    work = Work(lambda: site.run(container=guest.name, **params))
    try:
        wait_for("the helper", lambda: [each for each in helpers(site) if each["State"] == "running"], 60)
    finally:
        os.kill(work.pid, signal.SIGKILL)
        with pytest.raises(Killed):
            work.wait()
    wait_for("its end", lambda: not helpers(site), 60)
    site.attach(guest, state="absent")
    assert site.links(guest) == []


def test_P20_what_a_helper_container_cannot_do(site: Site) -> None:
    guest = site.container("a")
    common = {"container": guest.name, "dhcp": "docker", "host_interface": BRIDGE}
    said = site.refused(**common, dhcp_image="no-such")
    assert "dhcp_image: Docker has no image 'no-such' on the managed host, and none is fetched" in said
    with namespace(f"{PREFIX}-n"):
        said = site.refused(**{**common, "container": f"{PREFIX}-n"}, runtime="netns")
        assert "dhcp: a helper container of Docker cannot share the namespace of one of netns" in said
    site.attach(site.container("b"))  # the bridge stays
    links = site.links(guest)
    words = r"no server gave an address within 2 s; sent were [1-4] DHCPDISCOVER and 0 DHCPREQUEST .* udhcpc says: "
    with pytest.raises(Exception, match=words):
        site.run(**common, dhcp_image=IMAGE, dhcp_timeout=2)
    assert site.links(guest) == links
    wait_for("the helper's end", lambda: not helpers(site))


def test_P21_a_container_that_is_killed_is_let_go_and_its_lease_forgotten(site: Site) -> None:
    serve(site)
    guest = site.container("a")
    given = {"dhcp": "docker", "dhcp_image": IMAGE, "dhcp_timeout": 60, "dhcp_keep": True}
    before = folders()
    attachment = site.attach(guest, **given)["attachments"][0]
    assert attachment["lease"]["keep"]["state"] == "bound"
    assert not site.attach(guest, **given)["changed"]
    [folder] = folders() - before
    assert folder
    guest.kill()
    end = f"/sys/class/net/{attachment['local_interface']}"
    wait_for("the kernel to free its network", lambda: not os.path.exists(end), 60)
    wait_for("the lease to be forgotten", lambda: folders() == before, 60)


def folders() -> set[str]:
    """Of leases on the machine."""
    return set(os.listdir("/run/pipework/dhcp")) if os.path.isdir("/run/pipework/dhcp") else set()


def test_P21_what_an_ended_container_has_left_goes(site: Site) -> None:
    """The new one of the same name is another container."""
    serve(site)
    guest = site.container("a")
    given = {"dhcp": "builtin", "dhcp_timeout": 60}
    places = []
    for _time in range(2):
        site.attach(guest, **given)
        places.append(ipam_store.folder(owner_of("docker", guest.name, guest.id, "eth1")))
        assert os.path.isdir(places[-1])
        site.remove(guest)
        guest = site.container("a")
    assert len(set(places)) == 2
    site.attach(guest, **given)
    living = ipam_store.folder(owner_of("docker", guest.name, guest.id, "eth1"))
    done = site.attach(guest, state="absent")
    assert [each["kind"] for each in done["operations"]].count("lease_files") == 2
    assert not any(os.path.exists(each) for each in [*places, living])
    site.attach(guest, **given)
    name = str(guest.name)
    site.remove(guest)
    done = site.attach(name, state="absent")
    assert [each["kind"] for each in done["operations"] if each["kind"] == "lease_files"] == ["lease_files"]
    assert not os.path.exists(living)
    assert not site.attach(name, state="absent")["changed"]
