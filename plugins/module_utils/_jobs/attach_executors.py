# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What carries out all that attachments are made of."""
from __future__ import annotations

from .._agent import apply as agent_apply
from .._attach import guard, nic_apply
from .._engine import links
from .._engine.executors import Executors
from .._files import apply as files_apply
from .._filter import apply as filter_apply
from .._ipam import apply as ipam_apply
from .._neighbour import apply as neighbour_apply
from .._ovs import apply as ovs_apply
from .._tc import apply as tc_apply

EXECUTORS: Executors = {  # a later one has more to do with its objects
    **links.EXECUTORS, **agent_apply.EXECUTORS, **files_apply.EXECUTORS, **filter_apply.EXECUTORS, **guard.EXECUTORS,
    **ipam_apply.EXECUTORS, **neighbour_apply.EXECUTORS, **nic_apply.EXECUTORS, **ovs_apply.EXECUTORS,
    **tc_apply.EXECUTORS,
}
