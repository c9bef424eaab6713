# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What hypothesis remembers is kept with everything else that is made here."""

from __future__ import annotations

from pathlib import Path

from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

set_hypothesis_home_dir(Path(__file__).resolve().parents[2] / ".cache" / "hypothesis")
settings.register_profile("pipework", deadline=None, print_blob=True)
settings.load_profile("pipework")
