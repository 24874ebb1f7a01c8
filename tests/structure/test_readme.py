"""The README is true: its table is the present one, its examples run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree
from itertools import filterfalse
from pathlib import Path

import pytest

from scripts import bench_plot, commands_table
from server.registry import Group, Registry
from storage.types.set import Set
from tests.harness.handlers import Desk

README = Path(__file__).resolve().parents[2] / "README.md"


def examples() -> list[str]:
    return [block.partition("```")[0] for block in README.read_text().split("```python\n")[1:]]


def is_a_command(example: str) -> bool:
    """A module of server/commands, not a program."""
    return "from server.registry import" in example


def test_the_table_of_commands_is_the_one_that_the_declarations_make():
    text = README.read_text()
    assert commands_table.with_table(text) == text, "run: python3 scripts/commands_table.py --write"


@pytest.mark.parametrize("example", list(filterfalse(is_a_command, examples())), ids=lambda text: text.split("\n")[0])
def test_the_examples_run(example, tmp_path):
    pytest.importorskip("redis")
    (tmp_path / "test_example.py").write_text(example)
    words = [sys.executable, "test_example.py"]
    if "def test_" in example:
        words[1:] = ["-m", "pytest", "-q", "-p", "rediselect.plugin", "test_example.py"]
    environment = dict(os.environ, PYTHONPATH=str(README.parent / "scripts" / "package"))
    done = subprocess.run(words, cwd=tmp_path, timeout=60, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_command_that_is_added_works():
    (example,) = filter(is_a_command, examples())
    module: dict = {}
    exec(example, module)
    (group,) = [value for value in module.values() if isinstance(value, Group)]
    (spec,) = Registry.of([group])
    desk = Desk()
    assert desk.run(spec.handler, spec.name, "k") == 0
    desk.db.put(b"k", b"abc")
    assert desk.run(spec.handler, spec.name, "k") == 3
    assert desk.events == [(b"k", b"set", 1)]
    assert desk.db.read_string(b"k") == b"cba"
    desk.db.put(b"set", Set())
    assert desk.run(spec.handler, spec.name, "set").startswith(b"WRONGTYPE")


def test_every_example_is_run():
    assert len(examples()) >= 4


def test_the_picture_of_the_speed_can_be_drawn_and_has_its_place(tmp_path, monkeypatch):
    rates = {"own": {"rps": 90_000.0, "cpu_us": 8.0}, "redis": {"rps": 100_000.0, "cpu_us": 6.0}}
    entry = {"test": "set", "medians": rates, "ratio_rps": 0.9, "ratio_cpu": 0.75}
    result = {
        "labels": {"own": "rediselect on CPython", "redis": "Redis 7 <&>"},
        "results": [{**entry, "depth": 1}, {**entry, "depth": 16}, {"test": "get", "depth": 16, "not_served": "-"}],
        "machine": {"processor": "P", "cores": 2, "system": "Linux"},
        "rounds": 3,
        "driver": "redis-benchmark -c 50",
        "at": "2024-01-01T00:00:00Z",
    }
    monkeypatch.setattr(bench_plot, "ROOT", tmp_path)
    monkeypatch.setattr(bench_plot, "PICTURE", tmp_path / "bench.svg")
    monkeypatch.setattr(bench_plot, "README", tmp_path / "README.md")
    text = README.read_text()
    (tmp_path / "README.md").write_text(text)
    bench_plot.publish(result)
    picture = xml.etree.ElementTree.parse(tmp_path / "bench.svg").getroot()
    bars = [bar for bar in picture.iter("{http://www.w3.org/2000/svg}rect") if "own" in bar.get("class", "")]
    assert len(bars) == 1 + 2  # the legend's, and one for each depth
    published = (tmp_path / "README.md").read_text()
    assert "| SET | 0.90 (0.75) | 0.90 (0.75) |" in published
    assert published.partition(bench_plot.BEGIN)[0] == text.partition(bench_plot.BEGIN)[0]
    assert published.partition(bench_plot.END)[2] == text.partition(bench_plot.END)[2]


def test_what_the_readme_points_at_is_there():
    for name in re.findall(r"\]\(([^)#]+)\)", README.read_text()):
        assert (README.parent / name).exists(), name
