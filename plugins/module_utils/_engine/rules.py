# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What operations on rules of policy routing say to the kernel."""
from __future__ import annotations

from .._model.rule import Rule
from .._netlink import rule as netlink_rule
from .._netlink.namespaces import Namespaces
from .executors import Executors
from .rtnetlink import Encode, Request, Sort, executor


def create_rule(_before: None, after: Rule, _namespaces: Namespaces) -> list[Request]:
    return [(after.ns, netlink_rule.new_rule(after))]


def delete_rule(before: Rule, _after: None, _namespaces: Namespaces) -> list[Request]:
    return [(before.ns, netlink_rule.delete_rule(before))]


REQUESTS: dict[Sort, Encode] = {("rule", "create"): create_rule, ("rule", "delete"): delete_rule}
EXECUTORS: Executors = {"rule": executor(REQUESTS)}
