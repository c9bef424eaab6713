# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Carries out what a shim has besides its links and addresses: its watchdog, and files of the host."""
from __future__ import annotations

from .._engine.executors import Executors, one_by_one
from . import host_files, watchdog

EXECUTORS: Executors = {"watchdog": one_by_one(watchdog.change), "file": one_by_one(host_files.change)}
