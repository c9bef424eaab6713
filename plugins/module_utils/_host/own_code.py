# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The collection's own files, wherever they have been loaded from: for what runs when a module has ended, and its files
are gone from the host."""
from __future__ import annotations

import importlib.util
import io
import os
import pkgutil
import sys
import typing as t
import zipfile

MAIN = """import sys
sys.path += {paths!r}
from module_utils.{module} import main
main()
"""


def paths() -> list[str]:
    """Where the libraries are; what a zip held is gone by then."""
    return [path for path in sys.path if os.path.isdir(path)]


def archive(module: str) -> bytes:
    """A program of all of them, which Python runs as it is; it calls ``main`` of a module."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as handle:
        handle.writestr("__main__.py", MAIN.format(paths=paths(), module=module))
        handle.writestr("module_utils/__init__.py", "")
        for path, text in sources():
            handle.writestr(path, text.encode("utf-8", "surrogateescape"))
    return packed.getvalue()


def sources(only: t.Collection[str] = ()) -> t.Iterator[tuple[str, str]]:
    """Path and text of each; of those with these names alone, if there are any."""
    root = __name__.rsplit(".", 2)[0]
    folders = [root]
    while folders:
        package = folders.pop()
        spec = importlib.util.find_spec(package)
        if package != root and spec is not None and not only:
            yield _path(package, root, "/__init__.py"), _text(spec)
        for info in pkgutil.iter_modules(spec.submodule_search_locations if spec else ()):
            name = f"{package}.{info.name}"
            if info.ispkg:
                folders.append(name)
            elif not only or name[len(root) + 1:].replace(".", "/") in only:
                yield _path(name, root, ".py"), _text(importlib.util.find_spec(name))


def _path(name: str, root: str, end: str) -> str:
    return "module_utils/" + name[len(root) + 1:].replace(".", "/") + end


def _text(spec: t.Any) -> str:
    return str(spec.loader.get_source(spec.name) or "")
