# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The filters of the role topology. All that they do is in module_utils; here it meets Ansible."""

from __future__ import annotations

import functools
import json
import typing as t
from pathlib import Path

from ansible.errors import AnsibleFilterError

from ..module_utils._core.errors import PipeworkError
from ..module_utils._topology import containerlab
from ..module_utils._topology import fleet as topology_fleet
from ..module_utils._topology import report as topology_report
from ..module_utils._topology.check import check

DOCUMENTATION = r"""
name: topology
short_description: Take a topology apart into the lists of one host
version_added: 0.1.0
description:
  - From the data structure of the role P(pipework.containers.topology#role), or a topology file of containerlab, makes
    the lists that the modules take on one host, and says all that is wrong with the structure, each with its path.
positional: host
options:
  _input:
    description: The structure, as C(roles/topology/files/topology.schema.json) describes it.
    type: dict
    required: true
  host:
    description: The host by its name in the inventory.
    type: str
    required: true
  inventory:
    description: All names of the inventory, to find slips of the pen; empty for no such check.
    type: list
    elements: str
    default: []
  runtime:
    description: Who knows the containers of which the structure does not say it.
    type: str
  state:
    description: V(absent) makes each item absent.
    type: str
    choices: [present, absent]
    default: present
  purge:
    description: >-
      Add each container of the structure to the lists of what stands in containers, so that a purge of routes, rules
      and impairments reaches those of which nothing is listed.
    type: bool
    default: false
author:
  - pipework.containers contributors (@pipework)
"""

EXAMPLES = r"""
- name: Which attachments would that be here?
  ansible.builtin.debug:
    msg: "{{ (shop | pipework.containers.topology(inventory_hostname)).attachments }}"
"""

RETURN = r"""
_value:
  description:
    - The lists C(bridges), C(segments), C(attachments), C(routes), C(rules) and C(impairments) as the modules take
      them; C(evpn), what FRR is to say; C(errors) and C(remarks), lists of sentences;
      C(member), whether the structure speaks of the host.
  type: dict
"""

SCHEMA = Path(__file__).resolve().parents[2] / "roles" / "topology" / "files" / "topology.schema.json"


@functools.lru_cache(maxsize=1)
def schema() -> dict[str, t.Any]:
    """The collection's own, of the structure."""
    return t.cast("dict[str, t.Any]", json.loads(SCHEMA.read_text(encoding="utf-8")))


def topology(
    document: t.Any, host: str, inventory: t.Sequence[str] = (), runtime: str | None = None,
    state: str = "present", purge: bool = False,
) -> dict[str, t.Any]:
    """See DOCUMENTATION."""
    nothing: dict[str, t.Any] = {name: [] for name in (*topology_fleet.MODULES, "errors", "remarks")}
    nothing["evpn"] = {}
    lab = containerlab.convert(document, host) if containerlab.is_lab(document) else None
    if lab is not None:
        nothing["remarks"] = lab.remarks
        if lab.errors:
            return {**nothing, "member": True, "errors": lab.errors}
        document = lab.found
    fleet = topology_fleet.read(schema(), document, inventory, host, runtime)
    errors = check(fleet)
    if errors:
        return {**nothing, "member": True, "errors": [lab.translated(each) for each in errors] if lab else errors}
    if host not in fleet.hosts:
        return {**nothing, "member": False}
    return {**nothing, **topology_fleet.lists_of(fleet, host, state == "absent", purge), "member": True}


def topology_later(
    items: list[dict[str, t.Any]], here: dict[str, t.Any], bridged: t.Any, attached: t.Any
) -> dict[str, t.Any]:
    """In a check run: which items can be looked at ``now``, and which stand on what is not there yet."""
    done = [each if isinstance(each, dict) else {} for each in (bridged, attached)]
    now, later = topology_report.split(items, topology_report.new_containers(here["attachments"], *done))
    return {"now": now, "later": later}


def topology_summary(
    hosts: list[str], variables: t.Mapping[str, t.Any], through: list[str], details: bool = False
) -> list[str]:
    """What the role did on each host, a line for each."""
    return topology_report.summary(hosts, variables, through, details)


def _told(function: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
    @functools.wraps(function)
    def call(*args: t.Any, **kwargs: t.Any) -> t.Any:
        try:
            return function(*args, **kwargs)
        except PipeworkError as error:
            raise AnsibleFilterError(str(error)) from None

    return call


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {each.__name__: _told(each) for each in (topology, topology_later, topology_summary)}
