# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Carries out what concerns Open vSwitch: one transaction of ovs-vsctl."""
from __future__ import annotations

from ._errors import PipeworkError
from ._executors import Executors
from ._netlink import Namespaces
from ._plan import Failure, Plan


def _switch(work: Plan, _namespaces: Namespaces, done: Plan) -> Failure:
    from . import _ovs  # which few runs need

    try:
        _ovs.change(work)
    except _ovs.Refused as error:
        return work[0], error
    except PipeworkError as error:
        done.extend(work)
        return work[0], error
    except BaseException:
        done.extend(work)  # nobody knows; to take it back does no harm
        raise
    done.extend(work)
    return None


EXECUTORS: Executors = dict.fromkeys(("ovs_first", "ovs_bridge", "ovs_port", "ovs_leave"), _switch)
