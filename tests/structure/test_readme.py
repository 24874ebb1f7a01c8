"""The README is true: its table is the present one, its example runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import commands_table
from tests.harness.processes import free_port

README = Path(__file__).resolve().parents[2] / "README.md"


def example() -> str:
    return README.read_text().partition("```python\n")[2].partition("```")[0]


def test_the_table_of_commands_is_the_one_that_the_declarations_make():
    text = README.read_text()
    assert commands_table.with_table(text) == text, "run: python3 scripts/commands_table.py --write"


def test_the_example_runs():
    pytest.importorskip("redis")
    code = example().replace("7777", str(free_port()))
    done = subprocess.run([sys.executable, "-c", code], cwd=README.parent, timeout=30, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
