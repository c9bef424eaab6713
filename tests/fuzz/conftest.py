# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What hypothesis remembers between runs is kept with everything else that is made here."""

from __future__ import annotations

from pathlib import Path

from hypothesis.configuration import set_hypothesis_home_dir

set_hypothesis_home_dir(Path(__file__).resolve().parents[2] / ".cache" / "hypothesis")
