# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""unpack.py WHEEL TREE COLLECTION…: take the named collections out of the Python package `ansible`.

Collections are installed from Galaxy as a rule; the package has the same ones, and package mirrors have it too.
"""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path


def main(wheel: str, tree: str, *collections: str) -> None:
    roots = [f"ansible_collections/{name.replace('.', '/')}/" for name in collections]
    for root in roots:
        shutil.rmtree(Path(tree, root), ignore_errors=True)
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith(tuple(roots)) and "/tests/" not in name]
        archive.extractall(tree, names)
    missing = [root for root in roots if not Path(tree, root).is_dir()]
    if missing:
        sys.exit(f"not in {wheel}: {', '.join(missing)}")


main(*sys.argv[1:])
