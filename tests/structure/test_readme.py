"""The README is true: its table is the present one, its examples run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import commands_table

README = Path(__file__).resolve().parents[2] / "README.md"


def examples() -> list[str]:
    return [block.partition("```")[0] for block in README.read_text().split("```python\n")[1:]]


def is_complete(example: str) -> bool:
    """A declaration of a command in the page about the design is part of a module."""
    return "import rediselect" in example or "from rediselect" in example or "(rediselect_" in example


def test_the_table_of_commands_is_the_one_that_the_declarations_make():
    text = README.read_text()
    assert commands_table.with_table(text) == text, "run: python3 scripts/commands_table.py --write"


@pytest.mark.parametrize("example", list(filter(is_complete, examples())), ids=lambda text: text.split("\n")[0])
def test_the_examples_run(example, tmp_path):
    pytest.importorskip("redis")
    (tmp_path / "test_example.py").write_text(example)
    words = [sys.executable, "test_example.py"]
    if "def test_" in example:
        words[1:] = ["-m", "pytest", "-q", "-p", "rediselect.plugin", "test_example.py"]
    environment = dict(os.environ, PYTHONPATH=str(README.parent / "scripts" / "package"))
    done = subprocess.run(words, cwd=tmp_path, timeout=60, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_example_but_the_declaration_is_run():
    assert [is_complete(example) for example in examples()].count(False) <= 1
    assert len(examples()) >= 4
