# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What the demo says, and how it runs its playbook."""
from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import traceback
from typing import Callable

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
PLAYBOOK = "demo/playbook.yml"
COLOURED = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


class Failed(Exception):
    """Something that the demo promises did not come true."""


def say(text: str = "") -> None:
    print(text, flush=True)


def title(text: str) -> None:
    say(f"\n\033[1m== {text}\033[0m" if COLOURED else f"\n== {text}")


def command(runtime: str, *options: str, **variables: str) -> list[str]:
    """The command line that plays the demo's playbook."""
    words = ["ansible-playbook", PLAYBOOK, *options]
    for name, value in {"private_bridge_runtime": runtime, **variables}.items():
        words += ["-e", f"{name}={value}"]
    return words


def expect(true: bool, what: str) -> None:
    """A promise of the demo that is checked, not only shown."""
    if not true:
        raise Failed(f"this did not come true: {what}")
    say(f"-> {what}")


def guarded(action: Callable[[], None], *impossible: type[Exception]) -> int:
    """The exit code of a part of the demo, after a line about what went wrong."""
    try:
        action()
        return 0
    except impossible as error:
        say(f"demo: {error}")
        return 2
    except Failed as error:
        say(f"demo: FAILED: {error}")
        return 1
    except KeyboardInterrupt:
        say("demo: interrupted")
        return 130
    except Exception:
        traceback.print_exc()
        return 1


def play(runtime: str, *options: str, **variables: str) -> int:
    """Plays the playbook, and returns how many tasks changed something."""
    return run(command(runtime, *options, **variables))["localhost"]


def run(words: list[str]) -> dict[str, int]:
    """Runs an ansible-playbook, and returns how many tasks changed something on each host."""
    say(f"$ {shlex.join(words)}")
    changed = {}
    with tempfile.TemporaryDirectory(prefix="pipework-demo.") as folder, subprocess.Popen(
        words, cwd=ROOT, env=_environment(folder), encoding="utf-8", errors="replace",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None
        try:
            gap = ""
            for line in process.stdout:
                plain = re.sub(r"\033\[[0-9;]*m", "", line).strip()
                if not plain:
                    gap = "\n"
                    continue
                print(gap + line, end="", flush=True)
                gap = ""
                recap = re.match(r"(\S+)\s*: ok=.*\bchanged=(\d+)", plain)
                if recap:
                    changed[recap[1]] = int(recap[2])
        except BaseException:
            process.send_signal(signal.SIGTERM)
            raise
    if process.returncode or not changed:
        raise Failed(f"ansible-playbook ended with {process.returncode}.")
    return changed


def _environment(folder: str) -> dict[str, str]:
    """Nobody's own settings of Ansible play a part, and nothing stays behind in a home directory."""
    ours = ("ANSIBLE_COLLECTIONS_PATH", "ANSIBLE_PYTHON_INTERPRETER")
    kept = {name: value for name, value in os.environ.items() if name in ours or not name.startswith("ANSIBLE_")}
    return {
        **kept, "ANSIBLE_CONFIG": os.path.join(HERE, "ansible.cfg"), "LC_ALL": "C.UTF-8", "COLUMNS": "72",
        **dict.fromkeys(("ANSIBLE_HOME", "ANSIBLE_LOCAL_TEMP", "ANSIBLE_REMOTE_TMP"), folder),
        "ANSIBLE_FORCE_COLOR" if COLOURED else "ANSIBLE_NOCOLOR": "1",
    }
