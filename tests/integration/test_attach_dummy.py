# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""pipework_attach, kind dummy. Not every kernel has such interfaces: what they do is in tests/kernel.

Here is what is said where there are none.
"""

from __future__ import annotations

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from tests.integration.lab import Host

pytestmark = pytest.mark.root


def has_dummy(host: Host) -> bool:
    found = host.ok("ip", "link", "add", "probe", "type", "dummy")
    host.ok("ip", "link", "del", "probe")
    return found


@pytest.mark.parametrize(
    "params", [{"host_interface": "dummy"}, {"host_interface": "dummy7"}, {"kind": "dummy", "host_interface": None}]
)
def test_P19_a_kernel_without_dummy_says_what_it_lacks(host: Host, params: dict[str, str]) -> None:
    if has_dummy(host):
        host.attach("a", **params)
        assert (host.link("eth1", ns="a") or {})["linkinfo"]["info_kind"] == "dummy"
        return
    before = host.snapshot()
    with pytest.raises(
        PipeworkError, match=r"create link netns:a/eth1 failed: .*CONFIG_DUMMY.*modprobe dummy.*Nothing was changed"
    ):
        host.attach("a", **params, addresses=["10.1.0.1/24"])
    host.assert_as(before)


def test_P19_what_stands_before_it_in_the_list_is_taken_back(host: Host) -> None:
    if has_dummy(host):
        pytest.skip("this kernel has dummy interfaces")
    before = host.snapshot()
    with pytest.raises(PipeworkError, match=r"CONFIG_DUMMY.*taken back; everything is as it was"):
        host.run(
            runtime="netns",
            attachments=[
                {"container": "a", "host_interface": "br1", "addresses": ["10.1.0.1/24"]},
                {"container": "b", "host_interface": "dummy"},
            ],
        )
    host.assert_as(before)


def test_P19_has_no_modes(host: Host) -> None:
    with pytest.raises(PipeworkError, match=r"mode: kind dummy has no modes.*Nothing was changed"):
        host.attach("a", host_interface="dummy", mode="bridge")
