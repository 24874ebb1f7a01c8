#!/usr/bin/env python3
"""Check who imports whom, and the other rules of structure that a reader of one file cannot see.

    python3 scripts/check_layers.py [ROOT]

Owns the rules; reads source with `ast` and imports none of it. Prints one line per violation and exits 1 if
there is any. An import inside a function or under TYPE_CHECKING counts like any other, however
late it is loaded.

    storage            the standard library
    protocol           the standard library, storage.numeric and storage.text: the grammars of numbers and of words
    server             the standard library, protocol, storage, server
    server.commands.*  as server, but never the reactor, a connection, the app or another command module
    server.app         constructs and wires: what it constructs, no other module of server constructs

No third party anywhere, no mutable module global, no module named like one of the standard library or called
utils, helpers, common or manager, none above MAX_LINES lines.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGES = ("server", "protocol", "storage")
GRAMMARS = ("storage.numeric", "storage.text")
MAX_LINES = 700  # a module past about 600 is two modules; the rest is room to finish a thought
VAGUE_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "manager"})
# A family of value types: always spelled storage.types, so nobody takes it for the standard module.
NAMED_ALIKE = frozenset({"storage.types"})
# A handler reaches these through its context.
CLOSED_TO_COMMANDS = (
    "server.reactor",
    "server.connection",
    "server.connections",
    "server.app",
    "server.__main__",
)
# Optional extras, each imported by one part, which says what to install where it is missing.
OPTIONAL = {"lupa": "server.scripting"}
COMPOSERS = frozenset({"server.app", "server.__main__"})
# Values rather than parts: app.py makes some, and so may others.
CONSTRUCTED_ANYWHERE = frozenset({"Clock", "CommandError", "EncodingLimits"})
MUTATORS = frozenset(
    "append appendleft extend insert add update setdefault pop popleft popitem clear remove discard".split()
)
CONTAINERS = frozenset({"list", "dict", "set", "bytearray", "deque", "defaultdict", "OrderedDict", "Counter"})


class Violation(NamedTuple):
    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


class Module(NamedTuple):
    name: str
    path: str
    is_package: bool
    source: str
    tree: ast.Module


class Import(NamedTuple):
    line: int
    target: str  # the module, or module.name for `from module import name`


def is_standard(top: str) -> bool:
    names = getattr(sys, "stdlib_module_names", None)
    if names is not None:
        return top in names
    # Python 3.9 has no list of its own modules: what lives outside site-packages is the standard library.
    import importlib.util

    spec = importlib.util.find_spec(top)
    return spec is not None and "site-packages" not in str(spec.origin) and "dist-packages" not in str(spec.origin)


def load_modules(root: Path) -> list[Module]:
    modules = []
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = list(path.relative_to(root).with_suffix("").parts)
            is_package = parts[-1] == "__init__"
            if is_package:
                parts.pop()
            source = path.read_text(encoding="utf-8")
            tree = ast.parse(source, filename=str(path))
            modules.append(Module(".".join(parts), path.relative_to(root).as_posix(), is_package, source, tree))
    return modules


def imports_of(module: Module) -> Iterator[Import]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.name.split(".")
                # Level 1 is the module's own package; a package's own name already is that.
                package = package[: len(package) - node.level + module.is_package]
                base = ".".join(package + ([base] if base else []))
            for alias in node.names:
                yield Import(node.lineno, f"{base}.{alias.name}")


def is_within(target: str, module: str) -> bool:
    return target == module or target.startswith(module + ".")


def check_import(module: Module, imported: Import, names: frozenset[str]) -> str | None:
    """Say what is wrong with one import, or None."""
    target = imported.target
    top = target.partition(".")[0]
    own = module.name.partition(".")[0]
    if top not in PACKAGES:
        if not is_standard(top) and not is_within(module.name, OPTIONAL.get(top, "-")):
            return f"imports {top}, which is not the standard library"
        return None
    if own == "storage" and top != "storage":
        return f"storage imports the standard library only, not {target}"
    if own == "protocol" and top != "protocol" and not any(is_within(target, grammar) for grammar in GRAMMARS):
        return f"protocol imports the standard library, {' and '.join(GRAMMARS)} only, not {target}"
    if is_within(target, "server.app") and module.name not in COMPOSERS:
        return "server.app is imported by the entry point alone"
    if module.name.startswith("server.commands."):
        for closed in CLOSED_TO_COMMANDS:
            if is_within(target, closed):
                return f"a command module never imports {closed}"
        if is_within(target, "server.commands") and target != "server.commands":
            family = ".".join(module.name.split(".")[:3])
            group = ".".join(target.split(".")[:3])
            if group in names and group != family:
                return f"a command module never imports another command module ({group})"
    return None


def called_name(call: ast.Call) -> str | None:
    if isinstance(call.func, ast.Name):
        return call.func.id
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return None


def parts_of(modules: list[Module]) -> dict[str, str]:
    """Return the classes that server.app constructs, each with the module that defines it."""
    classes = {}
    for module in modules:
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef):
                classes.setdefault(node.name, module.name)
    parts = {}
    for module in modules:
        if module.name == "server.app":
            for node in ast.walk(module.tree):
                if isinstance(node, ast.Call):
                    name = called_name(node)
                    home = classes.get(name or "")
                    if name and home and home != "server.app" and name not in CONSTRUCTED_ANYWHERE:
                        parts[name] = home
    return parts


def check_construction(module: Module, parts: dict[str, str]) -> Iterator[tuple[int, str]]:
    if not module.name.startswith("server") or module.name in COMPOSERS:
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            name = called_name(node)
            # A class may make more of its own kind: its own module knows what that means.
            if name in parts and parts[name] != module.name:
                yield node.lineno, f"constructs {name}, which server.app constructs and hands out"


def is_mutable_value(value: ast.expr | None) -> bool:
    if isinstance(value, (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)):
        return True
    return isinstance(value, ast.Call) and called_name(value) in CONTAINERS


def module_containers(tree: ast.Module) -> dict[str, int]:
    """Return the names bound at module level to a list, dict, set or bytearray, with their lines."""
    found = {}
    for node in tree.body:
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign) and is_mutable_value(node.value):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign) and is_mutable_value(node.value):
            targets = [node.target]
        for target in targets:
            if isinstance(target, ast.Name):
                found[target.id] = node.lineno
    return found


def bound_in(function: ast.AST) -> set[str]:
    """Return the names a function binds for itself, so that no local is taken for a global."""
    bound = set()
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
    return bound


def check_globals(module: Module) -> Iterator[tuple[int, str]]:
    containers = module_containers(module.tree)
    for name, line in containers.items():
        if name != name.upper() and not name.startswith("__"):
            yield line, f"{name} is a mutable module global (a constant table has an upper case name)"
    for function in ast.walk(module.tree):
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        visible = set(containers) - bound_in(function)
        for node in ast.walk(function):
            if isinstance(node, ast.Global):
                yield node.lineno, f"`global {', '.join(node.names)}`: a part keeps its state in an object"
            changed: ast.expr | None = None
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, (ast.Store, ast.Del)):
                changed = node.value
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
                changed = node.func.value
            if isinstance(changed, ast.Name) and changed.id in visible:
                yield node.lineno, f"changes the module's table {changed.id} at run time"


def check_module(module: Module, names: frozenset[str], parts: dict[str, str]) -> Iterator[Violation]:
    last = module.name.rpartition(".")[2]
    if last != "__main__" and is_standard(last) and module.name not in NAMED_ALIKE:
        yield Violation(module.path, 1, f"is named like the standard library's {last}")
    if last in VAGUE_NAMES:
        yield Violation(module.path, 1, f"{last} says nothing about what it owns")
    lines = module.source.count("\n")
    if lines > MAX_LINES:
        yield Violation(module.path, lines, f"has {lines} lines, more than {MAX_LINES}")
    for imported in imports_of(module):
        text = check_import(module, imported, names)
        if text:
            yield Violation(module.path, imported.line, text)
    seen = set()
    for line, text in (*check_construction(module, parts), *check_globals(module)):
        if (line, text) not in seen:
            seen.add((line, text))
            yield Violation(module.path, line, text)


def check_tree(root: Path) -> list[Violation]:
    modules = load_modules(root)
    names = frozenset(module.name for module in modules)
    parts = parts_of(modules)
    return [violation for module in modules for violation in check_module(module, names, parts)]


def main(arguments: list[str]) -> int:
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    violations = check_tree(root)
    for violation in violations:
        print(violation)
    if not violations:
        print(f"layers hold in {', '.join(PACKAGES)}")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
