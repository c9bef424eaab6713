# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""OpenSSH's part of a fleet: the server's program, throw-away keys, and the settings of both ends."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable

from boxes import Impossible

HERE = os.path.dirname(os.path.abspath(__file__))
# Where tests/tools/setup-sshd unpacks Debian's package, on machines that have no server.
UNPACKED = os.path.realpath(os.path.join(os.path.dirname(os.path.dirname(HERE)), ".cache", "sshd"))
PYTHON = os.path.realpath(sys.executable)  # the proxy needs nothing of an environment

SERVER = """\
HostKey {directory}/hostkey
AuthorizedKeysFile {directory}/key.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
PrintMotd no
PrintLastLog no
UseDNS no
MaxStartups 100
MaxSessions 100
AcceptEnv LANG LC_*
Subsystem sftp internal-sftp
SetEnv PATH={path}
"""
CLIENT = """\
Host *
  User root
  IdentityFile {directory}/key
  IdentitiesOnly yes
  UserKnownHostsFile {directory}/known_hosts
  GlobalKnownHostsFile none
  HostKeyAlias fleet
  StrictHostKeyChecking yes
  LogLevel ERROR
  ServerAliveInterval 5
  ProxyCommand {python} -IS {here}/proxy.py {directory} %h %p
  ProxyUseFdpass yes
"""


def server() -> str:
    """sshd: the machine's, or the one that was unpacked."""
    path = f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin:{UNPACKED}/usr/sbin"
    found = shutil.which("sshd", path=path)
    if not found:
        raise Impossible("there is no sshd: run tests/tools/setup-sshd, which unpacks one into .cache")
    return os.path.abspath(found)


def environment() -> dict[str, str]:
    """For an unpacked server: its libraries. It hands none of that on to sessions."""
    folders = [base for base, _names, files in os.walk(UNPACKED) if any(".so." in name for name in files)]
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **({"LD_LIBRARY_PATH": ":".join(folders)} if folders else {})}


def prepare(directory: str, hosts: Iterable[tuple[str, str]]) -> list[str]:
    """Writes keys and settings; returns the server's command line."""
    if any(letter.isspace() or letter in "'\"%\\#$~" for letter in directory + UNPACKED + PYTHON):
        raise Impossible(f"{directory}, {UNPACKED}, {PYTHON}: ssh needs paths without spaces and quotes")
    here = f"{directory}/tools"  # by which ssh finds them, whatever the checkout's own path is
    os.symlink(HERE, here)
    for name in ("key", "hostkey"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "fleet", "-f", f"{directory}/{name}"]
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    with open(f"{directory}/hostkey.pub", encoding="ascii") as handle:
        write(f"{directory}/known_hosts", f"fleet {handle.read()}")
    path = os.pathsep.join(dict.fromkeys([*os.environ["PATH"].split(os.pathsep), "/usr/sbin", "/sbin"]))
    lines = SERVER.format(directory=directory, path=path)
    for option, program in (("SshdSessionPath", "sshd-session"), ("SshdAuthPath", "sshd-auth")):
        unpacked = f"{UNPACKED}/usr/lib/openssh/{program}"
        if server().startswith(UNPACKED) and os.path.exists(unpacked):
            lines += f"{option} {unpacked}\n"
    write(f"{directory}/sshd_config", lines)
    known = "".join(f"Host {name}\n  HostName {address}\n" for name, address in hosts)
    write(f"{directory}/ssh_config", known + CLIENT.format(directory=directory, python=PYTHON, here=here))
    return [server(), "-D", "-e", "-f", f"{directory}/sshd_config"]


def write(path: str, text: str) -> None:
    """Whole or not at all."""
    with open(f"{path}.new", "w", encoding="utf-8") as handle:
        handle.write(text)
    os.replace(f"{path}.new", path)
