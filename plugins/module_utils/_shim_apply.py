# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Carries out what a shim has besides its links and addresses: its watchdog, and files of the host."""
from __future__ import annotations

from . import _host_files, _watchdog
from ._executors import Executors, one_by_one

EXECUTORS: Executors = {"watchdog": one_by_one(_watchdog.change), "file": one_by_one(_host_files.change)}
