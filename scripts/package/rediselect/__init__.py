"""rediselect from Python: `rediselect.run()` starts a server and returns when it is ready.

    import rediselect

    with rediselect.run() as server:
        server.client().set("greeting", "hello")

This package is what an installation adds to the server: its source lies in scripts/package/ and not beside `server`,
`protocol` and `storage`, because it is no part of the server, and none of the three imports it. Names are loaded when
they are asked for, so that the commands, which begin here too, start without `subprocess` and its like.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rediselect import factories
    from rediselect.running import Server, StartFailure, run

__all__ = ["Server", "StartFailure", "__version__", "factories", "run"]


def __getattr__(name: str) -> Any:
    if name in ("Server", "StartFailure", "run"):
        from rediselect import running

        return getattr(running, name)
    if name == "factories":
        import importlib

        return importlib.import_module("rediselect.factories")
    if name == "__version__":
        from rediselect.parts import read_version

        return read_version()
    raise AttributeError(f"module 'rediselect' has no attribute {name!r}")
