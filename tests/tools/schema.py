# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""schema.py: write roles/topology/files/topology.schema.json anew, from the documentation of the modules.

To be run when a module's options have changed: `tests/tools/run python tests/tools/schema.py`. A unit test says so.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "roles" / "topology" / "files" / "topology.schema.json"
TEMPLATE = r"\{\{"
Json = dict[str, Any]

TEXT: Json = {"title": "a string", "type": ["string", "number"]}
NUMBERS = {"int": ("a whole number", "integer", r"-?[0-9]+"), "float": ("a number", "number", r"-?[0-9]+(\.[0-9]+)?")}
BOOLEAN: Json = {
    "title": "true or false",
    "type": ["boolean", "string"],
    "pattern": rf"^([Yy]es|[Nn]o|[Tt]rue|[Ff]alse|[Oo]n|[Oo]ff|YES|NO|TRUE|FALSE|ON|OFF)$|{TEMPLATE}",
}


def documented(module: str) -> Json:
    """The options of a module that stand in its documentation, and those of containers."""
    found = {}
    for path, name in (
        ("plugins/doc_fragments/container.py", "DOCUMENTATION"),
        (f"plugins/modules/{module}.py", "DOCUMENTATION"),
    ):
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
                found.update(yaml.safe_load(ast.literal_eval(node.value))["options"])
    return found


def words(description: Any) -> str:
    """A description without Ansible's marks."""
    text = " ".join(description) if isinstance(description, list) else str(description)
    text = re.sub(r"\b[OCVPM]\((?:pipework\.containers\.\w+#module:)?((?:[^()]|\([^()]*\))*)\)", r"\1", text)
    return re.sub(r"\s+", " ", text).strip()


def option(said: Json) -> Json:
    """One option as a schema."""
    kind, inner = said.get("type", "str"), said.get("suboptions")
    if inner:
        found = items(inner)
        return {"type": "array", "items": found} if kind == "list" else found
    if said.get("choices"):
        return {"anyOf": [{"enum": list(said["choices"])}, {"type": "string", "pattern": TEMPLATE}]}
    if kind == "list":
        elements = said.get("elements", "raw")
        if elements == "dict":
            return {"type": "array", "items": {"type": "object"}}
        return {"title": "a list", "type": ["array", "string", "number"], "items": option({"type": elements})}
    if kind in NUMBERS:
        title, name, pattern = NUMBERS[kind]
        return {"title": title, "type": [name, "string"], "pattern": rf"^{pattern}$|{TEMPLATE}"}
    return {"str": dict(TEXT), "bool": dict(BOOLEAN), "dict": {"title": "a mapping", "type": "object"}}.get(kind, {})


def items(options: Json, leave_out: tuple[str, ...] = (), **more: Json) -> Json:
    """An item of a list, as a schema: a module's options with their other names, and what is the topology's own."""
    properties: Json = {}
    for name, said in options.items():
        if name in leave_out:
            continue
        described = words(said.get("description", ""))
        properties[name] = {**option(said), "description": described}
        for alias in said.get("aliases", ()):
            properties[alias] = {**option(said), "description": f"The same as {name}.", "x-alias-of": name}
    required = [name for name, said in options.items() if said.get("required")]
    return {
        "type": "object",
        "additionalProperties": False,
        **({"required": required} if required else {}),
        "properties": {**properties, **more},
    }


def described(part: Json, description: str) -> Json:
    return {**part, "description": description}


def build() -> Json:
    """The whole schema."""
    text, name = dict(TEXT), {"title": "a name", "type": "string", "minLength": 1}
    runtime = {
        "runtime": described(option(documented("pipework_attach")["runtime"]), "Who knows the container."),
        "runtime_user": described(text, "The user whose rootless engine it is."),
    }
    hosts = {"hosts": described(option({"type": "list", "elements": "str"}), "The hosts it is on. The default: all.")}
    attach = documented("pipework_attach")
    lists = {
        "bridges": items(
            documented("pipework_bridge")["bridges"]["suboptions"], hosts=hosts["hosts"],
        ),
        "attachments": items(
            attach, ("peer", "attachments", "purge", "purge_on"),
            segment=described(name, "The segment that the container is on, in place of host_interface."), **hosts,
        ),
        "routes": items(documented("pipework_route")["routes"]["suboptions"], ("cmd",), **hosts),
        "rules": items(documented("pipework_rule")["rules"]["suboptions"], ("cmd",), **hosts),
        "impairments": items(documented("pipework_tc")["interfaces"]["suboptions"], ("cmd",), **hosts),
    }
    lists["bridges"]["required"] = ["name"]
    lists["segments"] = items(
        documented("pipework_vxlan")["segments"]["suboptions"], ("local", "remotes", "name"),
        name=described(name, "What attachments call it."),
        hosts=described(hosts["hosts"], "The hosts it joins. The default: those that have containers on it."),
        bridge=described(text, "The bridge on each of its hosts. The default is br- and the name."),
        control_plane=described(
            option({"choices": ["static", "evpn"]}),
            "How its hosts know of each other: each has a list, or FRR tells them by BGP. The default is static.",
        ),
        asn=described(option({"type": "int"}), "With evpn, the autonomous system of its hosts. The default is 65000."),
        route_reflectors=described(
            option({"type": "list", "elements": "str"}),
            "With evpn, the hosts that all others have a BGP session with. The default is its first two.",
        ),
    )
    lists["segments"]["required"] = ["name", "vni"]
    end = items(
        attach["peer"]["suboptions"], ("runtime", "runtime_user"),
        runtime={"enum": ["host"], "description": "The host itself is at this end, in place of a container."},
    )
    brief = {"title": "CONTAINER:INTERFACE, such as r1:eth1", "type": "string", "pattern": rf"^[^:]+:[^:]+$|{TEMPLATE}"}
    lists["links"] = {
        "type": "object",
        "additionalProperties": False,
        "required": ["endpoints"],
        "properties": {
            "endpoints": {
                "type": "array", "minItems": 2, "maxItems": 2, "items": {"anyOf": [end, brief]},
                "description": "Both ends, each with the options of an end or in brief as CONTAINER:INTERFACE.",
            },
            **{each: described(option(attach[each]), words(attach[each]["description"])) for each in ("mtu", "state")},
        },
    }
    what = {
        "bridges": "Bridges of the hosts, with the options of pipework_bridge.",
        "segments": "Networks over several hosts, with the options of pipework_vxlan.",
        "attachments": "Interfaces of containers, with the options of pipework_attach.",
        "links": "Cables between two containers of one host.",
        "routes": "Routes in containers, with the options of pipework_route.",
        "rules": "Rules of policy routing in containers, with the options of pipework_rule.",
        "impairments": "Delay, loss, rates and the like, with the options of pipework_tc.",
    }
    order = ("bridges", "segments", "attachments", "links", "routes", "rules", "impairments")
    host = {
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {
            "address": described(text, "Its address for the tunnels of segments, which it has already."),
            "interfaces": described(
                option({"type": "list", "elements": "str"}),
                "Bridges and NICs that the host has already and that attachments may stand on.",
            ),
            **runtime,
        },
    }
    container = {
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {
            "host": described(name, "The host it is on. Not needed where the topology is of one host."),
            "name": described(text, "What the host knows it by, where that is not the name here."),
            **runtime,
        },
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "a topology",
        "description": "Hosts, containers and all that connects them: what the role topology takes.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "name": described(text, "What it is called. Nothing depends on it."),
            "hosts": {
                "type": "object", "additionalProperties": host, "propertyNames": name,
                "description": "The hosts by their names in the inventory. The default: those that containers name.",
            },
            **runtime,
            "containers": {
                "type": "object", "additionalProperties": container, "propertyNames": name,
                "description": "All containers that are spoken of, by name.",
            },
            **{
                each: {"type": "array", "items": {"$ref": f"#/definitions/{each}"}, "description": what[each]}
                for each in order
            },
        },
        "definitions": {each: lists[each] for each in order},
    }


if __name__ == "__main__":
    SCHEMA.write_text(json.dumps(build(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{SCHEMA.relative_to(ROOT)}: {SCHEMA.stat().st_size} bytes")
