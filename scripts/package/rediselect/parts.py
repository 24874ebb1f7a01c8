"""Where the server's own packages are, and how a process of the server finds them.

In a wheel and in a zipapp they are in `_packages` beside this file; in a checkout at its root. `open_path` is for
processes that are the server or one of its tools, never for one that imports rediselect as a library: their own
`server` package would be hidden.
"""

from __future__ import annotations

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))


def find_packages() -> str:
    """The folder that holds server, protocol and storage; it may be inside a zip file."""
    if HERE == os.path.join(ROOT, "scripts", "package", "rediselect"):
        return ROOT
    return os.path.join(HERE, "_packages")


def open_path() -> None:
    """Let this process import the server's packages before any others of these names."""
    packages = find_packages()
    if packages in sys.path:
        sys.path.remove(packages)
    sys.path.insert(0, packages)


def archive() -> str:
    """The zip file this package is in, or ""."""
    path = HERE
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path if os.path.isfile(path) else ""


def read_version() -> str:
    """The version, without importing `server`, which may be somebody else's here."""
    import pkgutil

    name = "_packages/server/version.py"
    if find_packages() == ROOT:
        with open(os.path.join(ROOT, "server", "version.py"), "rb") as file:
            source = file.read()
    else:
        source = pkgutil.get_data("rediselect", name) or b""
    values: dict[str, str] = {}
    exec(source, values)
    return values["VERSION"]
