"""Running the text of a library once, so that it registers its functions.

Owns the grammar of `redis.register_function`. What it makes is a Library that nobody else knows yet: if anything fails,
nothing has changed.
"""

from __future__ import annotations

from server.scripting.engine import Run, ScriptError
from server.scripting.flags import FLAG_NAMES
from server.scripting.functions import BAD_NAME, CHUNK_NAME, Function, Library, is_name
from storage.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from server.scripting.engine import Engine


def fail(text: bytes) -> Any:
    raise ScriptError(b"ERR " + text)


class Registration:
    """Collects what one library registers."""

    def __init__(self, engine: Engine, library: Library) -> None:
        self.engine = engine
        self.library = library

    def run(self, body: bytes) -> None:
        """Compile and run the text; raises CommandError in Redis's words."""
        engine = self.engine
        interpreter = engine.interpreter(False)
        compiled = interpreter.compile(body, CHUNK_NAME)
        if compiled.__class__ is tuple:
            raise CommandError(b"ERR Error compiling function: " + compiled[1])
        run = Run(self.library.name, (), 0, True, engine.session)
        run.is_load = run.is_function = True
        kept = (engine.current, engine.register)
        engine.current, engine.register = run, self.register
        try:
            result = interpreter.load_library(compiled)
        finally:
            engine.current, engine.register = kept
        if result is not True:
            raise CommandError(b"ERR Error registering functions: " + (run.kill or result[1]))
        if not self.library.functions:
            raise CommandError(b"ERR No functions registered")

    def register(self, *arguments: Any) -> None:
        if len(arguments) == 1:
            self.register_named(arguments[0])
        elif len(arguments) == 2:
            name, callback = arguments
            if name.__class__ in (int, float):
                name = b"%d" % name
            if name.__class__ is not bytes:
                fail(b"first argument to redis.register_function must be a string")
            if not is_lua(callback, b"function"):
                fail(b"second argument to redis.register_function must be a function")
            self.add(name, callback, 0, None)
        else:
            fail(b"wrong number of arguments to redis.register_function")

    def register_named(self, table: Any) -> None:
        if not is_lua(table, b"table"):
            fail(
                b"calling redis.register_function with a single argument is only applicable to Lua table "
                b"(representing named arguments)."
            )
        described = self.engine.interpreter(False).describe(table)
        if described.__class__ is bytes:
            fail(b"named argument key given to redis.register_function is not a string")
        names, values, flag_table, callback = described
        name = description = None
        flags = 0
        for key, value in zip(names.values(), values.values()):
            if key == b"function_name":
                name = value or fail(b"function_name argument given to redis.register_function must be a string")
            elif key == b"description":
                description = value or fail(b"description argument given to redis.register_function must be a string")
            elif key == b"callback":
                if callback is None:
                    fail(b"callback argument given to redis.register_function must be a function")
            elif key == b"flags":
                if value != b"table":
                    fail(b"flags argument to redis.register_function must be a table representing function flags")
                for flag in flag_table.values():
                    if flag not in FLAG_NAMES:
                        fail(b"unknown flag given")
                    flags |= FLAG_NAMES[flag]
            else:
                fail(b"unknown argument given to redis.register_function")
        if name is None:
            fail(b"redis.register_function must get a function name argument")
        if callback is None:
            fail(b"redis.register_function must get a callback argument")
        self.add(name, callback, flags, description)

    def add(self, name: Any, callback: Any, flags: int, description: Any) -> None:
        if not is_name(name):
            fail(BAD_NAME)
        functions = self.library.functions
        if name.lower() in functions:
            fail(b"Function already exists in the library")
        functions[name.lower()] = Function(name, description, flags, callback, self.library)


def is_lua(value: Any, kind: bytes) -> bool:
    from server.scripting.interpreter import load_lupa

    found = load_lupa().lua_type(value)
    return found is not None and found == kind.decode()
