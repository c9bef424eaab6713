# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What ansible-test fetches from a site of its own, made from the pip that Python brings along.

ansible-test runs it in an empty virtual environment, with pip's options and the packages to install.
"""

from __future__ import annotations

import subprocess
import sys

subprocess.check_call([sys.executable, "-m", "ensurepip"], stdout=subprocess.DEVNULL)
wanted = [arg for arg in sys.argv[1:] if arg not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call([sys.executable, "-m", "pip", "install", *wanted])
