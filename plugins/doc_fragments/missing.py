# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
from __future__ import annotations


class ModuleDocFragment:
    """What to do where a container is not there."""

    DOCUMENTATION = r"""
options:
  missing:
    description:
      - What to do where a container does not exist or does not run, where something is to be there.
      - V(fail) - nothing is changed, and the message says which one it is.
      - V(skip) - it is left out, and the others are done. A warning names it, and RV(skipped) lists it. Ansible then
        shows the task as skipped and notifies no handler, also where something was changed for others; C(changed)
        tells.
      - An engine that cannot be asked is an error all the same.
      - The default is V(fail).
    type: str
    choices: [fail, skip]
"""
