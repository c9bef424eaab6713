# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What operations on routes say to the kernel."""
from __future__ import annotations

from .._model.layer3 import Route
from .._model.route import ExactRoute
from .._netlink import route as netlink_route
from .._netlink.namespaces import Namespaces
from .executors import Executors
from .rtnetlink import Encode, Request, Sort, executor


def _create_route(_before: None, after: Route, namespaces: Namespaces) -> list[Request]:
    return [(after.ns, netlink_route.new_route(after, namespaces[after.ns].index))]


def replace_route(_before: Route, after: Route, namespaces: Namespaces) -> list[Request]:
    return [(after.ns, netlink_route.replace_route(after, namespaces[after.ns].index))]


def _delete_route(before: Route, _after: None, namespaces: Namespaces) -> list[Request]:
    whole = isinstance(before, ExactRoute)
    return [(before.ns, netlink_route.delete_route(before, namespaces[before.ns].index, whole))]


ROUTES = ("way", "kept", "route", "late way", "late kept", "late route")
REQUESTS: dict[Sort, Encode] = {
    **{(kind, "create"): _create_route for kind in ROUTES}, **{(kind, "update"): replace_route for kind in ROUTES},
    **{(kind, "delete"): _delete_route for kind in ROUTES},
}
# Late ones are those of attachments, which know ways round what some kernels refuse of them.
EXECUTORS: Executors = {kind: executor(REQUESTS) for kind in ("way", "kept", "route")}
