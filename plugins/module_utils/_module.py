# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Where the collection meets Ansible: check mode, diff, and the one place that turns an error into a failed task."""
from __future__ import annotations

import gc
import json
import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ._core.errors import PipeworkError, printable
from ._model.runtime_names import NAMES

Work = t.Callable[..., "dict[str, t.Any]"]
CONTAINER = {
    "container": {"type": "str", "aliases": ["guest"]},
    "runtime": {"type": "str", "choices": ["auto", *NAMES]},
    "runtime_user": {"type": "str"},
}
MISSING = {"missing": {"type": "str", "choices": ["fail", "skip"]}}


def run_module(
    argument_spec: dict[str, t.Any], job: t.Callable[[dict[str, t.Any]], t.Any], work: Work,
    **constraints: t.Any,
) -> None:
    """A whole module: parses its options, makes a job of them, does its work, and exits."""
    module = AnsibleModule(argument_spec=argument_spec, supports_check_mode=True, **constraints)
    try:
        try:
            prepared = job(module.params)
        except PipeworkError as error:
            raise PipeworkError(str(error), "Nothing was changed.") from None
        result = work(prepared, check=module.check_mode)
    except PipeworkError as error:
        gc.freeze()
        module.fail_json(msg=printable(str(error)), invocation={"module_args": _given(module.params)}, **error.results)
    except Exception as error:  # pylint: disable=broad-except  # a traceback is for -vvv, never for the reader of the output
        words = f"This should not have happened, please report it: {type(error).__name__}: {error}"
        lines = traceback.format_exc().split("\n")
        module.fail_json(msg=printable(words), exception="\n".join(printable(line) for line in lines))
    for words in result.pop("warnings", ()):
        module.warn(printable(words))
    if "msg" in result:
        result["msg"] = printable(result["msg"])
    result["invocation"] = {"module_args": _given(module.params)}
    if module._diff:  # pylint: disable=protected-access  # the documented way to ask
        result["diff"] = {"before": _text(result["before"]), "after": _text(result["after"])}
    gc.freeze()  # or the interpreter looks through all of pyroute2's classes once more as it ends, which takes 60 ms
    module.exit_json(**result)


def _given(params: t.Any) -> t.Any:
    """The options without those that were left out: a thousand items have forty thousand of them, which Ansible would
    copy, send and read again."""
    if isinstance(params, dict):
        return {name: _given(value) for name, value in params.items() if value is not None}
    return [_given(each) for each in params] if isinstance(params, list) else params


def _text(shown: dict[str, t.Any]) -> str:
    return json.dumps(shown, indent=2, sort_keys=True) + "\n"
