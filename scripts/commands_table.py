"""The compatibility table of the README, from the command declarations.

    python3 scripts/commands_table.py            print it
    python3 scripts/commands_table.py --write    put it into README.md, between its markers
    python3 scripts/commands_table.py --check    exit 1 if README.md has another one
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BEGIN = "<!-- commands: made by scripts/commands_table.py -->"
END = "<!-- /commands -->"


def table() -> str:
    """A row for each group: how many commands and subcommands, and their names."""
    sys.path.insert(0, str(ROOT))
    from server.commands import all_groups
    from server.registry import Registry

    rows: dict[str, list[str]] = {}
    for spec in Registry.of(all_groups()):
        name = spec.name.decode().upper()
        if spec.subcommands:
            name += " (%s)" % " ".join(sorted(sub.decode().upper() for sub in spec.subcommands if sub != b"help"))
        rows.setdefault(spec.group, []).append(name)
    lines = ["| group | commands | |", "|---|---|---|"]
    for group in sorted(rows):
        names = sorted(rows[group])
        lines.append("| %s | %d | %s |" % (group, len(names), ", ".join(names)))
    return "\n".join(lines)


def with_table(text: str) -> str:
    """README text with the present table between its markers."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return "%s%s\n%s\n%s%s" % (head, BEGIN, table(), END, tail)


def main(arguments: list[str]) -> int:
    if not arguments:
        print(table())
        return 0
    text = README.read_text()
    if arguments == ["--write"]:
        README.write_text(with_table(text))
        return 0
    if arguments == ["--check"]:
        return 0 if with_table(text) == text else 1
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
