# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Carries out what concerns Open vSwitch: one transaction of ovs-vsctl."""
from __future__ import annotations

from .._core.errors import PipeworkError
from .._core.plan import Failure, Plan
from .._engine.executors import Executors
from .._netlink.namespaces import Namespaces


def _switch(work: Plan, _namespaces: Namespaces, done: Plan) -> Failure:
    from . import client  # which few runs need

    try:
        client.change(work)
    except client.Refused as error:
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
