# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
from __future__ import annotations


class ModuleDocFragment:
    """What all modules of the collection have in common."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and say what would be changed. The operations are those of the real run.
    support: full
  diff_mode:
    description: Returns what was changed, or in check mode would be, as a difference.
    support: full
  platform:
    description: The operating systems of the managed host.
    platforms: linux
    support: full
  action_group:
    description: Use C(group/pipework.containers.pipework) in C(module_defaults) to set options for all modules.
    support: full
    membership: [pipework.containers.pipework]
requirements:
  - Linux 5.10 or newer and root on the managed host
  - pyroute2 0.7.2 or newer there
"""
