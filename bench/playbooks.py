# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What is measured of the collection: whole runs of ansible-playbook, less a run that only pings."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import host

CHECKOUT = Path(__file__).resolve().parent.parent

HEAD = "- hosts: localhost\n  gather_facts: false\n  vars_files: [attachments.json]\n  tasks:\n"
PING = "- hosts: localhost\n  gather_facts: false\n  tasks:\n    - ansible.builtin.ping:\n"
ONE_TASK = (
    HEAD
    + f"""\
    - pipework.containers.pipework_attach:
        runtime: netns
        kind: bridge
        host_interface: {host.BRIDGE}
        state: STATE
        attachments: "{{{{ attachments }}}}"
"""
)
LOOP = (
    HEAD
    + f"""\
    - pipework.containers.pipework_attach:
        runtime: netns
        kind: bridge
        host_interface: {host.BRIDGE}
        container: "{{{{ item.container }}}}"
        addresses: "{{{{ item.addresses }}}}"
      loop: "{{{{ attachments }}}}"
"""
)


@dataclass(frozen=True)
class Took:
    total: float  # ms, the whole of ansible-playbook
    module: float  # ms, the module's processes
    peak: float  # MB, the largest of them


class Playbooks:
    """Writes them into a directory whose path has no spaces, with an interpreter that notes time and memory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.notes = directory / "notes"
        wrapper = directory / "python"
        recorder = Path(__file__).with_name("record.py")
        python = f"'{sys.executable}'"
        wrapper.write_text(f"#!/bin/sh\nexec {python} -IS '{recorder}' '{self.notes}' {python} \"$@\"\n")
        wrapper.chmod(0o755)
        (directory / "ansible.cfg").write_text("[defaults]\nretry_files_enabled = false\n")
        inventory = f"localhost ansible_connection=local ansible_python_interpreter={wrapper}\n"
        (directory / "inventory").write_text(inventory)
        (directory / "ping.yml").write_text(PING)
        (directory / "attach.yml").write_text(ONE_TASK.replace("STATE", "present"))
        (directory / "absent.yml").write_text(ONE_TASK.replace("STATE", "absent"))
        (directory / "loop.yml").write_text(LOOP)
        self.environment = {
            "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".cache" / "collections"),
            **os.environ,
            "ANSIBLE_CONFIG": str(directory / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
        }

    def attach_these(self, namespaces: list[str], addresses: list[str]) -> None:
        items = [{"container": name, "addresses": [address]} for name, address in zip(namespaces, addresses)]
        (self.directory / "attachments.json").write_text(json.dumps({"attachments": items}))

    def play(self, name: str, changed: bool, *options: str) -> Took:
        self.notes.write_text("")
        command = [sys.executable, "-m", "ansible.cli.playbook", "-i", "inventory", f"{name}.yml", *options]
        start = time.perf_counter()
        output = host.run(command, cwd=self.directory, env=self.environment)
        total = (time.perf_counter() - start) * 1e3
        recap = re.search(r"changed=(\d+)", output)
        if recap is None or (recap[1] != "0") != changed:
            raise RuntimeError(f"{name}: {recap[0] if recap else 'no recap'} where changed={changed} was expected")
        notes = [json.loads(line) for line in self.notes.read_text().splitlines()]
        return Took(total, sum(note["wall"] for note in notes), max(note["peak"] for note in notes))
