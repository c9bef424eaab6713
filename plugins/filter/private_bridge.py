# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The filter of the role private_bridge. All that it does is in module_utils; here it meets Ansible."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ..module_utils._core.errors import PipeworkError
from ..module_utils._topology import private_bridge as topology_private_bridge

DOCUMENTATION = r"""
name: private_bridge
short_description: Make the modules' lists of the variables of the role private_bridge
version_added: 0.1.0
description:
  - From the variables of the role P(pipework.containers.private_bridge#role), makes the lists that its tasks give to
    the modules, and refuses what cannot be.
options:
  _input:
    description: The role's variables, without their prefix.
    type: dict
    required: true
author:
  - pipework.containers contributors (@pipework)
"""

EXAMPLES = r"""
- name: Which attachments would that be?
  ansible.builtin.debug:
    msg: "{{ ({'networks': networks} | pipework.containers.private_bridge).attachments }}"
"""

RETURN = r"""
_value:
  description:
    - The lists C(bridges), C(attachments) and C(files) as M(pipework.containers.pipework_bridge),
      M(pipework.containers.pipework_attach) and M(pipework.containers.pipework_hosts) take them, and C(names), those of
      the bridges.
  type: dict
"""


def private_bridge(variables: dict[str, t.Any]) -> dict[str, t.Any]:
    """See DOCUMENTATION."""
    try:
        return topology_private_bridge.plan(variables)
    except PipeworkError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Any]:
        return {"private_bridge": private_bridge}
