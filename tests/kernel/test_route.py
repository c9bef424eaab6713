# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Routes and rules on the oldest kernel that is tested: the same as iproute2 makes, and MPLS."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._jobs.route import RouteJob
from ansible_collections.pipework.containers.plugins.module_utils._model.route_names import Names
from ansible_collections.pipework.containers.plugins.module_utils._routing.route_options import RouteItem
from tests.integration import test_rule
from tests.integration.lab import Host
from tests.integration.test_route import GROUND, params, requests, route, table


@pytest.fixture
def host() -> Iterator[Host]:
    found = Host("a", "b")
    try:
        for ns in found.guests:
            found.batch(GROUND, ns=ns)
        yield found
    finally:
        found.close()


def test_P32_the_same_routes_as_iproute2_makes(host: Host) -> None:
    made = {}
    for options, words in requests(random.Random(7), 60):
        if options["destination"] == "default" and "device" in options and "gateway" not in options:
            continue  # where such a one stands, it depends on the order which gateways can be reached
        place = RouteItem.from_params(options, "", Names(), ns=False).route.key
        made[place] = (options, words)  # the last one in each place
    listed = [options for options, _words in made.values()]
    assert host.run(job=RouteJob, **params(*listed))["changed"]
    assert not host.run(job=RouteJob, check=True, **params(*listed))["changed"]
    for version in ("-4", "-6"):
        lines = [f"route replace {words[3:]}\n" for _options, words in made.values() if words.startswith(version)]
        host.sh("ip", version, "-batch", "-", ns="b", text="".join(lines))
    assert sorted(table(host, "a")) == sorted(table(host, "b"))


def test_P32_mpls(host: Host) -> None:
    host.sh("modprobe", "mpls_iptunnel")
    labels = {"destination": "10.64.0.0/16", "gateway": "10.1.0.254", "encap": {"type": "mpls", "labels": [100, 200]}}
    route(host, labels)
    assert "encap mpls 100/200" in table(host)[0]
    hops = [
        {"gateway": "10.1.0.254", "encap": {"type": "mpls", "labels": [16], "ttl": 9}},
        {"gateway": "10.2.0.254", "weight": 2},
    ]
    done = route(host, {"destination": "10.64.0.0/16", "nexthops": hops})
    assert done["operations"][0]["before"]["encap"] == "mpls 100/200"
    assert "encap mpls 16 ttl 9" in table(host)[0]


def test_P33_the_same_rules_as_iproute2_makes(host: Host) -> None:
    test_rule.differential(host, 2, 12)
