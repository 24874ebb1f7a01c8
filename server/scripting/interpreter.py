"""One Lua 5.1 state with the scripts' world in it, made when it is first needed.

Owns the import of `lupa`, the only place that knows it, and what the world's host functions are called. Must not know
what they do. Without lupa every script command answers NOT_INSTALLED.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from storage.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict

NOT_INSTALLED = (
    b"ERR Scripts need the Lua 5.1 interpreter of the Python package 'lupa', which is not installed: run "
    b"`pip install lupa` (or `pip install rediselect[lua]`) for the Python that runs this server, then try again"
)
TICKS = 100_000  # instructions between two looks at the clock: about a millisecond
MEMORY_PART = 2  # a state gets at most one part of so many of the machine's or the container's memory
LIMIT_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
LIBRARIES = ("cjson", "cmsgpack", "struct", "bit")
CHUNK_NAME = b"=rediselect"


def load_lupa() -> Any:
    """The module of Lua 5.1; raises CommandError where it is not installed."""
    try:
        return import_module("lupa.lua51")
    except ImportError:
        raise CommandError(NOT_INSTALLED) from None


def is_installed() -> bool:
    """Whether scripts can run, without importing anything."""
    from importlib.util import find_spec

    return find_spec("lupa") is not None


def source_of(name: str) -> bytes:
    data = pkgutil.get_data("server.scripting", name + ".lua")
    if data is None:
        raise FileNotFoundError(name + ".lua")
    return data


def deny(target: Any, name: Any, is_setting: bool) -> Any:
    """No attribute of a Python object is anybody's business in Lua."""
    raise AttributeError("not accessible")


def most_bytes() -> int:
    """What a Lua state may grow to: a script that fills memory shall fail, not the server. 0 is without a limit."""
    from server.memory_meter import total_bytes

    total = total_bytes()
    for name in LIMIT_FILES:
        try:
            with open(name, "rb") as file:
                total = min(total, int(file.read()))
        except (OSError, ValueError):
            pass  # no such group, or one without a limit
    return total // MEMORY_PART


class Interpreter:
    """A Lua state. The names below are the functions that the world's chunk returns."""

    __slots__ = (
        "runtime",
        "run",
        "run_many",
        "load_library",
        "compile",
        "describe",
        "debug_with",
        "memory_kib",
        "table_from",
    )

    def __init__(self, host: Dict[bytes, Callable[..., Any]], is_eval: bool) -> None:
        lupa = load_lupa()
        self.runtime = lupa.LuaRuntime(
            encoding=None,
            source_encoding="latin-1",
            register_eval=False,
            register_builtins=False,
            unpack_returned_tuples=True,
            attribute_filter=deny,
            max_memory=most_bytes(),
        )
        self.table_from = self.runtime.table_from
        compile_chunk = self.runtime.globals()[b"loadstring"]
        libraries = {}
        for name in LIBRARIES:
            libraries[name.encode()] = self.compiled(compile_chunk, name)
        parts = self.compiled(compile_chunk, "sandbox")(
            self.table_from(host), is_eval, self.table_from(libraries), TICKS
        )
        (
            self.run,
            self.run_many,
            self.load_library,
            self.compile,
            self.describe,
            self.debug_with,
            self.memory_kib,
        ) = parts

    def debug(self, talk: Dict[bytes, Callable[..., Any]]) -> None:
        """Have scripts run under the debugger, which asks and tells through these functions."""
        self.debug_with(self.compiled(self.compile, "debugger"), self.table_from(talk))

    def end_debugging(self) -> None:
        self.debug_with(None)

    @staticmethod
    def compiled(compile_chunk: Any, name: str) -> Any:
        chunk = compile_chunk(source_of(name), CHUNK_NAME)
        if chunk.__class__ is tuple:
            raise SyntaxError("%s.lua: %s" % (name, chunk[1].decode()))
        return chunk
