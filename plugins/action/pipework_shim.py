# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Runs the module, and where something waits to be confirmed comes back over a new connection to confirm it."""
from __future__ import annotations

import time
import typing as t

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

# Connections that do not go through the NICs of the host.
INSIDE = {
    "local", "chroot", "jail", "zone", "iocage", "funcd", "lxc", "lxd", "incus", "docker", "docker_api", "nsenter",
    "podman", "buildah", "machinectl", "nspawn",
}
AFTERWARDS = 20  # seconds in which it should be reached over the old path again
Result = dict[str, t.Any]


class ActionModule(ActionBase):
    """The task pipework_shim."""

    MODULE = "pipework.containers.pipework_shim"
    MANY = "shims"

    def run(self, tmp: t.Any = None, task_vars: Result | None = None) -> Result:
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        seconds = self._seconds(arguments)
        if not seconds or arguments.get("confirm"):
            return self._module(arguments, task_vars, bool(self._task.async_val))
        transport = str(self._connection.transport).rpartition(".")[2]
        if transport in INSIDE:
            words = (
                f"confirm_timeout: the connection '{transport}' does not come over the network, so that coming back by "
                "it would confirm nothing; leave confirm_timeout out, or reach the host by ssh. Nothing was changed."
            )
            return {"failed": True, "changed": False, "msg": words}
        deadline = time.monotonic() + seconds
        try:
            result = self._module(arguments, task_vars)
        except AnsibleConnectionFailure as error:  # the answer is lost, and what it would have said is not known
            result = {"changed": True, "pending": True, "lost": str(error)}
        if result.get("failed") or not result.get("pending") or self._task.check_mode:
            return result
        return self._confirm(result, deadline, task_vars)

    def _seconds(self, arguments: Result) -> int:
        listed = arguments.get(self.MANY)
        items = listed if isinstance(listed, list) else []
        found = [0]
        for each in (arguments, *items):
            try:
                found.append(int((each or {}).get("confirm_timeout") or 0))
            except (TypeError, ValueError, AttributeError):
                return 0  # the module says what is wrong
        return max(found)

    def _confirm(self, result: Result, deadline: float, task_vars: Result | None) -> Result:
        wanted = {**self._task.args, "confirm": True}
        said = ""
        while True:
            try:
                self._connection.reset()
                answer = self._module(wanted, task_vars)
            except (AnsibleConnectionFailure, AnsibleError) as error:
                said = str(error)
            else:
                if not answer.get("failed"):
                    found = answer if "lost" in result else result
                    items = [  # nothing ends any more
                        {**each, "ends_in": None} if "ends_in" in each else each for each in found.get(self.MANY) or ()
                    ]
                    return {**found, "pending": False, "changed": True, self.MANY: items}
                said = str(answer.get("msg"))
                break
            if time.monotonic() > deadline + AFTERWARDS:
                break
            time.sleep(0.5)
        words = f"The host was not reached over the new path in time, so that it takes everything back. At last: {said}"
        return {"failed": True, "changed": False, "msg": words}

    def _module(self, arguments: Result, task_vars: Result | None, later: bool = False) -> Result:
        return dict(self._execute_module(
            module_name=self.MODULE, module_args=arguments, task_vars=task_vars, wrap_async=later,
        ))
