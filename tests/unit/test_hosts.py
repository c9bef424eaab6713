# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The options of pipework_hosts."""

from __future__ import annotations

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._files.hosts import HostsItem, items_from_params


def test_P2_options_and_their_defaults() -> None:
    entries = [{"address": "FD00::2", "names": ["db1", "db1.example.org", "db1"]}]
    [first, second] = items_from_params({
        "runtime": "netns", "block": "shop", "entries": entries,
        "files": [{"container": "a"}, {"container": "b", "state": "absent"}],
    })
    assert first == HostsItem("a", "netns", None, "fail", "shop", first.entries, "present", "files[0]: ")
    assert first.lines == ("fd00::2 db1 db1.example.org",)
    assert (second.lines, second.state) == ((), "absent")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"block": "a b"}, "block: 'a b' cannot be the name of a block"),
        ({"block": "x" * 65}, "block: 'xxx"),
        ({"block": "a\nb"}, "block: 'a\\nb'"),
        ({"entries": None}, "entries: say which names"),
        ({"entries": [{"address": "10.0.0.300", "names": ["x"]}]}, "entries[0]: address: '10.0.0.300' is not an IP"),
        ({"entries": [{"address": "10.0.0.3/24", "names": ["x"]}]}, "Without its prefix length, 10.0.0.3"),
        ({"entries": [{"address": "fe80::1%eth0", "names": ["x"]}]}, "entries[0]: address: 'fe80::1%eth0'"),
        ({"entries": [{"address": "10.0.0.3", "names": []}]}, "entries[0]: names: 10.0.0.3 has none"),
        ({"entries": [{"address": "10.0.0.3", "names": ["a b"]}]}, "entries[0]: names: 'a b' is not the name"),
        ({"entries": [{"address": "10.0.0.3", "names": ["a\n10.0.0.4 b"]}]}, "is not the name of a host"),
        ({"entries": [{"address": "10.0.0.3", "names": ["10.0.0.4"]}]}, "'10.0.0.4' is not the name of a host"),
        ({"entries": [{"address": "10.0.0.3", "names": ["a."]}]}, "'a.' is not the name of a host"),
        ({"entries": [{"address": "10.0.0.3", "names": ["x" * 64]}]}, "is not the name of a host"),
        ({"entries": [{"address": "10.0.0.3", "names": ["ä"]}]}, "is not the name of a host"),
        ({"entries": [{"address": "10.0.0.3", "names": [f"n{n}" for n in range(33)]}]}, "has 33, and an entry"),
        ({"container": None}, "container: say which container"),
    ],
)  # fmt: skip
def test_P2_bad_options_of_a_block(wrong: dict[str, object], words: str) -> None:
    right = {"container": "a", "entries": [{"address": "10.0.0.3", "names": ["x"]}]}
    with pytest.raises(PipeworkError) as caught:
        items_from_params({**right, **wrong})
    assert words in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(PipeworkError, match=r"^files\[1\]: "):
        items_from_params({"files": [right, {**right, **wrong}]})
