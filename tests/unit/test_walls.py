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
    "_attach", "_attachment", "_bridge", "_bridge_options", "_bridge_ovs", "_commands", "_errors", "_ovs_settings",
    "_masquerade", "_tunnels", "_uplinks", "_facts", "_filter_rules", "_forwarding", "_items",
    "_encap", "_options", "_route_words", "_routes", "_routing",
    "_command_line", "_routing_options", "_rules", "_ruling", "_source_routing",
    "_shim", "_shim_files", "_shim_move", "_moved_address", "_moved_rule", "_uplink_rules",
    "_nic_users", "_layer3", "_model", "_nic_vlan", "_normalize", "_ovs_rows", "_ovs_wish", "_plan", "_rooms",
    "_spoof_checks", "_sysctls", "_vf_record", "_vfs", "_vlans",
    "_wait", "_dhcp_keep", "_dhcp_lease", "_dhcp_message", "_dhcp_options", "_leases", "_defaults", "_network", "_arp",
    "_published", "_seat",
    "_fdb", "_vxlan", "_vxlan_wish",
    "_blocks", "_hosts", "_private_bridge", "_resolver",
    "_believed", "_packet_filter", "_remains", "_seals", "_strict_json",
    "_attach_limits", "_host_interface", "_domain_name", "_keys", "_order", "_new_bridge", "_ovs_model", "_own_tables",
    "_dhcp_identity", "_runtime_names", "_seen", "_uplink_options",
    "_done", "_idle", "_claims", "_autoconf", "_dhcp6_grant", "_dhcp6_lease", "_dhcp6_message",
}
# fmt: on
PURE_FOLDERS = ("_dhcp_clients", "_grammar", "_kinds")
# Pure code may look at what is read there, but the reading and writing is done elsewhere.
PURE_MAY_IMPORT = PURE | {"_filter", "_grammar", "_filter_iptables", "_filter_nft", "_kinds", "_dhcp_clients"}
PURE |= {  # of traffic control
    "_bandwidth", "_tc_actions", "_tc_filters", "_tc_flower", "_tc_mirror", "_tc_model", "_tc_options", "_tc_spec",
    "_tc_limits", "_tc_purge", "_tc_tree", "_tc_units", "_tc_wish",
}
PURE_FOLDERS += ("_tc",)
PURE |= {"_fold", "_fold_tc", "_route_seat"}
PURE |= {"_neighbor", "_nic_record", "_luggage", "_homecoming", "_carried", "_confirm"}
PURE |= {"_containerlab", "_schema", "_topology", "_topology_check", "_topology_evpn", "_topology_report"}
PURE_MAY_IMPORT |= PURE | {"_tc"}
ONLY_IN = {
    "ansible": {"_module.py"},
    "pyroute2": {
        "_codec.py", "_codec_fdb.py", "_codec_nl80211.py", "_codec_route.py", "_codec_rule.py", "_codec_tc.py",
        "_codec_watch.py",
    },
    "docker": {"_runtimes/docker.py"},
    "podman": {"_runtimes/podman.py"},
    "subprocess": {"_dhcp_program.py", "_program.py"},
    "ctypes": {
        "_guest_place.py", "_in_container.py", "_inotify.py", "_keeper_io.py", "_starts.py", "_netlink.py",
        "_sandbox.py", "_timer.py",
    },
}


def name_of(path: Path) -> str:
    return str(path.relative_to(UTILS if UTILS in path.parents else PLUGINS))


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
    return [path for path in FILES if path.stem in PURE or path.parent.name in PURE_FOLDERS]


@pytest.mark.parametrize("path", pure_files(), ids=name_of)
def test_pure_files_import_nothing_that_acts(path: Path) -> None:
    for level, name in imports(path):
        first = name.split(".")[0]
        if level == 0:
            assert first in HARMLESS, f"{name_of(path)} imports {name}"
        elif path.parent.name not in PURE_FOLDERS or level > 1:
            assert not first or first in PURE_MAY_IMPORT, f"{name_of(path)} imports {name}"


@pytest.mark.parametrize("path", pure_files(), ids=name_of)
def test_pure_files_open_nothing(path: Path) -> None:
    called = {
        node.func.id
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not called & {"open", "exec", "eval", "__import__", "print", "input"}


def test_the_pure_files_are_there() -> None:
    assert {path.stem for path in FILES} >= PURE


@pytest.mark.parametrize("path", FILES + MODULES, ids=name_of)
def test_slow_imports_wait_until_they_are_needed(path: Path) -> None:
    if path.name.startswith("_codec"):
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
    made_of, todo = set(importlib.import_module(f"{PACKAGE}.module_utils._keeping").MADE_OF), ["_keeper_start"]
    for name in todo:
        near = {word for level, word in imports(UTILS / f"{name}.py") if level == 1 and word}
        todo += sorted({word for word in near if (UTILS / f"{word}.py").exists()} - set(todo))
    assert made_of >= set(todo)
    assert not set(todo) & {"_codec", "_netlink", "_run"}  # it is small


def stems(folder: str) -> set[str]:
    return {path.stem for path in (UTILS / folder).glob("*.py")} - {"__init__"}


def test_every_kind_is_in_the_table_and_has_its_file() -> None:
    kinds = importlib.import_module(f"{PACKAGE}.module_utils._kinds")
    assert set(kinds.KINDS) == stems("_kinds")
    for name, module in kinds.KINDS.items():
        assert module.__name__.endswith(f"._kinds.{name}")
        assert callable(module.wanted)


def test_every_qdisc_is_in_the_table_and_has_its_file_and_its_option() -> None:
    qdiscs = importlib.import_module(f"{PACKAGE}.module_utils._tc")
    assert set(qdiscs.MODULES) == stems("_tc")
    assert set(qdiscs.MODULES) <= set(importlib.import_module(f"{PACKAGE}.modules.pipework_tc").ITEM)
    for name, module in qdiscs.MODULES.items():
        assert module.__name__.endswith(f"._tc.{name}")


def test_every_runtime_is_in_the_table_and_has_its_file() -> None:
    runtimes = importlib.import_module(f"{PACKAGE}.module_utils._runtimes")
    names = importlib.import_module(f"{PACKAGE}.module_utils._runtime_names")
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
    attachment = importlib.import_module(f"{PACKAGE}.module_utils._attachment")
    forwarding = importlib.import_module(f"{PACKAGE}.module_utils._forwarding")
    kinds = importlib.import_module(f"{PACKAGE}.module_utils._kinds")
    names = importlib.import_module(f"{PACKAGE}.module_utils._runtime_names")
    spec = specification(PLUGINS / "modules" / "pipework_attach.py", monkeypatch)
    modes = [mode for listed in attachment.KINDS_WITH_MODE.values() for mode in listed]
    assert set(spec["kind"]["choices"]) == {"auto", *kinds.KINDS}
    assert set(spec["mode"]["choices"]) == set(modes)
    assert spec["runtime"]["choices"] == ["auto", *names.NAMES]
    assert set(spec["forwarding"]["choices"]) == set(forwarding.STRENGTH)
    assert set(attachment.KINDS_WITH_MODE) <= set(kinds.KINDS)


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
    attachment = importlib.import_module(f"{PACKAGE}.module_utils._attachment")
    attach = importlib.import_module(f"{PACKAGE}.modules.pipework_attach")
    fields = set(attachment.Attachment.__dataclass_fields__) - {"far", "where", "forwarding_said", "gateway_dhcp"}
    assert set(attach.ITEM) == fields


def test_the_projects_files_name_no_machine() -> None:
    pattern = re.compile(r"/(?:root|work)/|/tmp/w\b")
    for path in FILES + MODULES + FRAGMENTS:
        assert not pattern.search(path.read_text(encoding="utf-8")), name_of(path)
