# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The walls of the house: who may import what, how long a file is, and tables that agree with each other."""

from __future__ import annotations

import ast
import importlib
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "plugins"
UTILS = PLUGINS / "module_utils"
PACKAGE = "ansible_collections.pipework.containers.plugins"
MODULES = sorted((PLUGINS / "modules").glob("*.py"))
FRAGMENTS = sorted((PLUGINS / "doc_fragments").glob("*.py"))
FILTERS = sorted((PLUGINS / "filter").glob("*.py"))  # which run on the controller
FILES = sorted(UTILS.rglob("*.py"))

MODULE_LINES, FILE_LINES, MAIN_LINES = 120, 300, 15
DOCUMENTS = ("DOCUMENTATION", "EXAMPLES", "RETURN")

# What runs without a kernel, an engine or a clock.
# fmt: off
HARMLESS = {
    "__future__", "collections", "contextlib", "dataclasses", "difflib", "enum", "functools", "hashlib", "hmac",
    "ipaddress", "itertools", "json", "math", "re", "shlex", "string", "struct", "types", "typing",
}
PURE = {
    "_agent/record", "_attach/bridge_use", "_attach/conflicts", "_attach/default_route", "_attach/desired",
    "_attach/dhcp4", "_attach/dhcp6", "_attach/host_interface", "_attach/ip_config", "_attach/limits", "_attach/modes",
    "_attach/network", "_attach/nic_users", "_attach/options", "_attach/ovs_cleanup", "_attach/published",
    "_attach/remains", "_attach/resolv_conf", "_attach/routing_options", "_attach/slaac", "_attach/source_routing",
    "_attach/spoof_checks", "_attach/vlan_links", "_bridge/desired", "_bridge/desired_ovs", "_bridge/options",
    "_bridge/uplink_options", "_bridge/uplink_rules", "_bridge/uplinks", "_cli/commands", "_core/errors",
    "_core/ineffective", "_core/items", "_core/normalize", "_core/order", "_core/plan", "_core/strict_json",
    "_engine/done", "_files/blocks", "_files/hosts", "_filter/forwarding", "_filter/masquerade", "_filter/verdict",
    "_grammar/cmd_option", "_ipam/dhcp4_grant", "_ipam/dhcp4_message", "_ipam/dhcp6_grant", "_ipam/dhcp6_message",
    "_ipam/identity", "_ipam/options", "_model/believed", "_model/domain_name", "_model/encap", "_model/fdb",
    "_model/keys", "_model/moved_address", "_model/new_bridge", "_model/objects", "_model/observed", "_model/ovs",
    "_model/own_tables", "_model/packet_filter", "_model/route_names", "_model/runtime_names", "_model/seals",
    "_model/seen", "_model/sriov", "_model/sriov_record", "_model/sysctl", "_model/vlans", "_neighbour/arp",
    "_ovs/settings", "_ovs/tables", "_ovs/tunnels", "_routing/default_route_owner", "_routing/moved_rules",
    "_routing/options", "_routing/route_options", "_routing/routes_desired", "_routing/rule_options",
    "_routing/rules_desired", "_shim/desired", "_shim/options", "_shim/persistence", "_topology/private_bridge",
    "_vxlan/desired", "_vxlan/options", "_wait/conditions",
}
# fmt: on
PURE_FOLDERS = ("_ipam/external", "_grammar", "_attach/kinds")
# Pure code may look at what is read there, but the reading and writing is done elsewhere.
PURE_MAY_IMPORT = PURE | {
    "_attach/kinds", "_filter/firewall", "_filter/iptables", "_filter/nft", "_grammar", "_ipam/external",
}
PURE |= {  # of traffic control
    "_tc/actions", "_tc/bandwidth", "_tc/desired", "_tc/filters", "_tc/flower", "_tc/limits", "_tc/mirror", "_tc/model",
    "_tc/options", "_tc/purge", "_tc/spec", "_tc/tree", "_tc/units",
}
PURE_FOLDERS += ("_tc/qdiscs",)
PURE |= {"_cli/fold", "_cli/fold_tc", "_routing/displaced_default"}
PURE |= {
    "_attach/context", "_attach/newcomers", "_attach/site", "_model/device", "_model/interfaces", "_model/layer3",
    "_model/nic_port", "_model/route", "_model/rule",
}
PURE |= {"_attach/cautions", "_attach/segments", "_attach/taken"}
PURE |= {
    "_attach/carried", "_attach/homecoming", "_delayed/confirm", "_model/luggage", "_model/neighbor",
    "_model/nic_record",
}
PURE |= {
    "_topology/check", "_topology/containerlab", "_topology/evpn", "_topology/fleet", "_topology/report",
    "_topology/schema",
}
PURE_MAY_IMPORT |= PURE | {"_tc/qdiscs"}
ONLY_IN = {
    "ansible": {"_module.py"},
    "pyroute2": {
        "_netlink/fdb.py", "_netlink/neighbour.py", "_netlink/nl80211.py", "_netlink/route.py", "_netlink/rtnl.py",
        "_netlink/rule.py", "_tc/netlink.py",
    },
    "docker": {"_runtimes/docker.py"},
    "podman": {"_runtimes/podman.py"},
    "subprocess": {"_ipam/external_client.py", "_host/program.py"},
    "ctypes": {
        "_agent/host.py", "_delayed/process.py", "_host/guest_place.py", "_host/in_container.py", "_host/inotify.py",
        "_ipam/sandbox.py", "_lookup/process_events.py", "_netlink/namespaces.py",
    },
}


BUDGETS = [  # how many shared files a module may bring to a host, and how many kB they may have
    ("pipework_wait", 64, 350), ("pipework_route", 68, 350), ("pipework_rule", 65, 350), ("pipework_hosts", 64, 350),
    ("pipework_vxlan", 110, 550), ("pipework_bridge", 114, 550), ("pipework_shim", 110, 550), ("pipework_tc", 113, 550),
    ("pipework_attach", 260, 1180),
]


def name_of(path: Path) -> str:
    return str(path.relative_to(UTILS if UTILS in path.parents else PLUGINS))


def place_of(path: Path) -> str:
    return name_of(path).removesuffix(".py")


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Level and name of all that a file imports, wherever in the file."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""
            if not node.module:
                yield from ((node.level, alias.name) for alias in node.names)


def ours(path: Path) -> Iterator[Path]:
    """The shared files that a shared file imports, wherever in the file."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            for alias in node.names:
                places = (base / f"{alias.name}.py", base / alias.name / "__init__.py", base.with_suffix(".py"))
                yield next((place for place in places if place.is_file()), base / "__init__.py")


def code_lines(path: Path) -> int:
    """Lines with code: not blank, no comment, no docstring, no documentation."""
    text = path.read_text(encoding="utf-8")
    silent: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        string = (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        )
        if string or (isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in DOCUMENTS):
            silent.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    blank = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in blank:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - silent)


# who may import what


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_libraries_are_imported_in_one_place(path: Path) -> None:
    for level, name in imports(path):
        allowed = ONLY_IN.get(name.split(".")[0])
        if level == 0 and allowed is not None:
            assert name_of(path) in allowed, f"{name_of(path)} imports {name}"


def pure_files() -> list[Path]:
    return [path for path in FILES if place_of(path) in PURE or name_of(path.parent) in PURE_FOLDERS]


@pytest.mark.parametrize("path", pure_files(), ids=name_of)
def test_pure_files_import_nothing_that_acts(path: Path) -> None:
    for level, name in imports(path):
        first = name.split(".")[0]
        if level == 0:
            assert first in HARMLESS, f"{name_of(path)} imports {name}"
    for other in ours(path):
        fine = PURE_MAY_IMPORT & {place_of(other), place_of(other).removesuffix("/__init__")}
        assert fine or name_of(other.parent) in PURE_FOLDERS, f"{name_of(path)} imports {name_of(other)}"


@pytest.mark.parametrize("path", pure_files(), ids=name_of)
def test_pure_files_open_nothing(path: Path) -> None:
    called = {
        node.func.id
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not called & {"open", "exec", "eval", "__import__", "print", "input"}


def test_no_files_import_each_other_in_a_circle() -> None:
    left = {path: {near for near in ours(path) if near != path} for path in FILES}
    while True:
        free = {path for path, near in left.items() if not near & set(left)}
        if not free:
            break
        left = {path: near for path, near in left.items() if path not in free}
    assert not left, sorted(name_of(path) for path in left)


def shipped(module: Path) -> set[Path]:
    """The shared files that come to a host with a module: Ansible's finder follows each import, wherever it stands."""
    found: set[Path] = set()
    todo = []
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{PACKAGE}.module_utils"):
            base = UTILS.joinpath(*str(node.module).removeprefix(f"{PACKAGE}.module_utils").strip(".").split("."))
            for alias in node.names:
                places = (base / f"{alias.name}.py", base / alias.name / "__init__.py", base.with_suffix(".py"))
                todo.append(next((place for place in places if place.is_file()), base / "__init__.py"))
    while todo:
        path = todo.pop()
        if path not in found:
            found |= {path, *(each / "__init__.py" for each in path.parents if UTILS in (each, *each.parents))}
            todo += ours(path)
    return found


@pytest.mark.parametrize(("module", "files", "kilobytes"), BUDGETS)
def test_a_module_ships_what_it_uses_alone(module: str, files: int, kilobytes: int) -> None:
    found = shipped(PLUGINS / "modules" / f"{module}.py")
    size = sum(path.stat().st_size for path in found) // 1024
    assert len(found) <= files and size <= kilobytes, f"{module} ships {len(found)} files, {size} kB"


def test_the_pure_files_are_there() -> None:
    assert {place_of(path) for path in FILES} >= PURE


@pytest.mark.parametrize("path", FILES + MODULES, ids=name_of)
def test_slow_imports_wait_until_they_are_needed(path: Path) -> None:
    if name_of(path) in ONLY_IN["pyroute2"]:
        return
    for node in tree_of(path).body:
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", None) or ""]
        if isinstance(node, (ast.Import, ast.ImportFrom)) and not getattr(node, "level", 0):
            assert not {name.split(".")[0] for name in names} & {"docker", "pyroute2", "requests", "yaml"}


def test_B1_check_mode_is_read_in_one_place() -> None:
    readers = []
    for path in FILES + MODULES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Attribute) and node.attr == "check_mode":
                readers.append(name_of(path))
    assert readers == ["_module.py"]


@pytest.mark.parametrize("path", FILES + MODULES, ids=name_of)
def test_B14_no_shell_anywhere(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                assert keyword.arg != "shell", f"{name_of(path)}:{node.lineno}"
            called = ast.unparse(node.func)
            assert called not in ("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput")
            assert not called.startswith("os.spawn")
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert node.value not in ("/bin/sh", "/bin/bash", "sh", "bash"), f"{name_of(path)}:{node.lineno}"


# Python and layout


@pytest.mark.parametrize("path", FILES + MODULES + FRAGMENTS + FILTERS, ids=name_of)
def test_every_file_says_whose_it_is_and_runs_on_python_3_9(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if not text.strip():
        return
    head = text.removeprefix("#!/usr/bin/python\n")
    assert head.startswith(
        "# Copyright: pipework.containers contributors\n# GNU General Public License v3.0+ (see LICENSE)\n"
    )
    assert "\nfrom __future__ import annotations\n" in head
    ast.parse(text, feature_version=(3, 9))
    for node in ast.walk(ast.parse(text)):
        assert not isinstance(node, ast.Match)
        if isinstance(node, ast.keyword):
            assert node.arg not in ("slots", "kw_only"), f"{name_of(path)}: dataclass({node.arg}=…) came with 3.10"
        if isinstance(node, ast.Assign):  # evaluated, unlike annotations
            for part in ast.walk(node.value):
                typed = isinstance(part, ast.BinOp) and isinstance(part.op, ast.BitOr)
                assert not (typed and ast.unparse(part).endswith("None")), f"{name_of(path)}:{node.lineno}: X | None"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_shared_file_is_short(path: Path) -> None:
    assert code_lines(path) <= FILE_LINES


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_documentation_a_specification_and_a_call(path: Path) -> None:
    assert code_lines(path) <= MODULE_LINES
    tree = tree_of(path)
    functions = [node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    assert [function.name for function in functions] == ["main"]
    main = functions[0]
    assert (main.end_lineno or 0) - main.lineno <= MAIN_LINES
    for node in ast.walk(main):
        assert not isinstance(node, (ast.If, ast.For, ast.While, ast.Try, ast.With, ast.IfExp, ast.comprehension)), (
            "logic"
        )
    ours = [name for level, name in imports(path) if name != "__future__" and level == 0]
    assert all(name.startswith(f"{PACKAGE}.module_utils.") for name in ours)


# tables


def test_P21_the_process_that_stays_knows_when_it_is_another_one() -> None:
    made_of, todo = set(importlib.import_module(f"{PACKAGE}.module_utils._agent.install").MADE_OF), ["_agent/main"]
    for name in todo:
        near = {place_of(each) for each in ours(UTILS / f"{name}.py") if each.stem != "__init__"}
        todo += sorted(near - set(todo))
    assert made_of >= set(todo)
    assert not set(todo) & {"_engine/run", "_netlink/namespaces", "_netlink/rtnl"}  # it is small


def stems(folder: str) -> set[str]:
    return {path.stem for path in (UTILS / folder).glob("*.py")} - {"__init__"}


def test_every_kind_is_in_the_table_and_has_its_file() -> None:
    kinds = importlib.import_module(f"{PACKAGE}.module_utils._attach.kinds")
    assert set(kinds.KINDS) == stems("_attach/kinds")
    for name, module in kinds.KINDS.items():
        assert module.__name__.endswith(f"._attach.kinds.{name}")
        assert callable(module.wanted)


def test_every_qdisc_is_in_the_table_and_has_its_file_and_its_option() -> None:
    qdiscs = importlib.import_module(f"{PACKAGE}.module_utils._tc.qdiscs")
    assert set(qdiscs.MODULES) == stems("_tc/qdiscs")
    assert set(qdiscs.MODULES) <= set(importlib.import_module(f"{PACKAGE}.modules.pipework_tc").ITEM)
    for name, module in qdiscs.MODULES.items():
        assert module.__name__.endswith(f"._tc.qdiscs.{name}")


def test_every_runtime_is_in_the_table_and_has_its_file() -> None:
    runtimes = importlib.import_module(f"{PACKAGE}.module_utils._runtimes")
    names = importlib.import_module(f"{PACKAGE}.module_utils._model.runtime_names")
    assert tuple(runtimes.runtimes()) == names.NAMES
    assert set(names.NAMES) == stems("_runtimes")
    assert set(names.AUTO) <= set(names.NAMES) - {"pid", "host"}
    for name, module in runtimes.runtimes().items():
        assert module.__name__.endswith(f"._runtimes.{name}")
        assert callable(module.installed)
        assert callable(module.running)
        assert callable(getattr(module, "find", None) or module.find_many)


# documentation and code


class Asked(Exception):
    """Instead of a run."""


def specification(path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The argument spec that a module hands over."""
    module = importlib.import_module(f"{PACKAGE}.modules.{path.stem}")
    caught: list[dict[str, Any]] = []

    def stand_in(spec: dict[str, Any], _job: object, _work: object = None, **_constraints: object) -> None:
        caught.append(spec)
        raise Asked

    monkeypatch.setattr(module, "run_module", stand_in)
    with pytest.raises(Asked):
        module.main()
    return caught[0]


def documentation(path: Path) -> dict[str, Any]:
    """A module's documentation with that of its fragments."""
    module = importlib.import_module(f"{PACKAGE}.modules.{path.stem}")
    found: dict[str, Any] = yaml.safe_load(module.DOCUMENTATION)
    options: dict[str, Any] = {}
    for fragment in found.get("extends_documentation_fragment", ()):
        part = importlib.import_module(f"{PACKAGE}.doc_fragments.{fragment.rpartition('.')[2]}")
        options.update(yaml.safe_load(part.ModuleDocFragment.DOCUMENTATION).get("options") or {})
    found["options"] = {**options, **found["options"]}
    return found


def compare(spec: dict[str, Any], documented: dict[str, Any], where: str) -> None:
    assert set(spec) == set(documented), where
    for name, option in spec.items():
        words = documented[name]
        assert words.get("description"), f"{where}{name}"
        for field, default in (
            ("type", "str"),
            ("elements", None),
            ("choices", None),
            ("default", None),
            ("required", False),
            ("aliases", None),
        ):
            said, meant = words.get(field, default), option.get(field, default)
            assert (list(said) if isinstance(said, (list, tuple)) else said) == (
                list(meant) if isinstance(meant, (list, tuple)) else meant
            ), f"{where}{name}: {field}"
        assert bool(option.get("options")) == bool(words.get("suboptions")), f"{where}{name}"
        if option.get("options"):
            compare(option["options"], words["suboptions"], f"{where}{name}.")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_documentation_and_specification_agree(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare(specification(path, monkeypatch), documentation(path)["options"], f"{path.stem}: ")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_named_after_its_file_and_belongs_to_the_action_group(path: Path) -> None:
    found = documentation(path)
    assert found["module"] == path.stem
    assert "pipework.containers.attributes" in found["extends_documentation_fragment"]
    runtime = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    assert path.stem in runtime["action_groups"]["pipework"]
    module = importlib.import_module(f"{PACKAGE}.modules.{path.stem}")
    for task in yaml.safe_load(module.EXAMPLES):
        actions = [word for word in task if word.startswith("pipework.containers.")]
        assert actions, task["name"]


def test_choices_are_those_of_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    modes_of = importlib.import_module(f"{PACKAGE}.module_utils._attach.modes")
    forwarding = importlib.import_module(f"{PACKAGE}.module_utils._filter.forwarding")
    kinds = importlib.import_module(f"{PACKAGE}.module_utils._attach.kinds")
    names = importlib.import_module(f"{PACKAGE}.module_utils._model.runtime_names")
    spec = specification(PLUGINS / "modules" / "pipework_attach.py", monkeypatch)
    modes = [mode for listed in modes_of.KINDS_WITH_MODE.values() for mode in listed]
    assert set(spec["kind"]["choices"]) == {"auto", *kinds.KINDS}
    assert set(spec["mode"]["choices"]) == set(modes)
    assert spec["runtime"]["choices"] == ["auto", *names.NAMES]
    assert set(spec["forwarding"]["choices"]) == set(forwarding.STRENGTH)
    assert set(modes_of.KINDS_WITH_MODE) <= set(kinds.KINDS)


def test_items_take_what_the_top_level_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = {"pipework_attach": "attachments", "pipework_bridge": "bridges", "pipework_route": "routes"}
    lists["pipework_rule"] = "rules"
    lists["pipework_hosts"] = "files"
    lists["pipework_tc"] = "interfaces"
    lists["pipework_wait"] = "waits"
    lists["pipework_vxlan"] = "segments"
    lists["pipework_shim"] = "shims"
    for stem, many in lists.items():
        host = {"runtime", "runtime_user"} if many in ("bridges", "segments", "shims") else set()
        spec = specification(PLUGINS / "modules" / f"{stem}.py", monkeypatch)
        alone = {many, "purge", "purge_on", "passthrough", "timeout", "confirm"} | host
        assert {name: option for name, option in spec.items() if name not in alone} == spec[many]["options"]
        for option in spec[many]["options"].values():
            assert "default" not in option, "a default of an item would hide what the task says"


def test_every_option_of_an_attachment_is_read() -> None:
    attachment = importlib.import_module(f"{PACKAGE}.module_utils._attach.options")
    attach = importlib.import_module(f"{PACKAGE}.modules.pipework_attach")
    fields = set(attachment.Attachment.__dataclass_fields__) - {"far", "where", "forwarding_said", "gateway_dhcp"}
    fields -= {"interface_said"}
    assert set(attach.ITEM) == fields


def test_the_projects_files_name_no_machine() -> None:
    pattern = re.compile(r"/(?:root|work)/|/tmp/w\b")
    for path in FILES + MODULES + FRAGMENTS:
        assert not pattern.search(path.read_text(encoding="utf-8")), name_of(path)
