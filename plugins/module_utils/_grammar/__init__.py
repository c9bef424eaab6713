# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Command lines and what they mean: the classic script's, and those of ``ip route``, ``ip rule`` and ``tc``. Pure.

Each grammar is one file with ``parse(words)`` and ``words_of(meaning)``, which are each other's inverse.
"""

from __future__ import annotations
