"""The wheel, built once from a copy of the sources, and environments that it is installed into."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE", "server", "protocol", "storage")
PIP_TIMEOUT_S = 240


def clean_environment(**changes) -> dict[str, str]:
    """What a user's shell has: nothing of this test run."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
    return {**kept, **changes}


@pytest.fixture(scope="session")
def package_folder() -> Path:
    return ROOT / "scripts" / "package"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """The wheel; a copy is built, so that no build directory is left in the repository."""
    copy = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    shutil.copytree(
        ROOT / "scripts" / "package", copy / "scripts" / "package", ignore=shutil.ignore_patterns("__pycache__")
    )
    target = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(target), str(copy)],
        capture_output=True,
        text=True,
        timeout=PIP_TIMEOUT_S,
        env=clean_environment(),
    )
    if done.returncode:
        if "No matching distribution found for setuptools" in done.stderr + done.stdout:
            pytest.skip("pip cannot get setuptools here to build the wheel with")
        pytest.fail(done.stdout + done.stderr)
    return next(target.glob("*.whl"))


class Environment:
    """A virtual environment with the wheel in it."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        venv.create(folder, with_pip=False)
        self.scripts = folder / ("Scripts" if os.name == "nt" else "bin")
        self.python = self.scripts / ("python.exe" if os.name == "nt" else "python")
        # Of the tests' pip: the environment needs none of its own, and is made in a moment.
        install = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "-q", "--no-index"]
        subprocess.run([*install, str(wheel)], check=True, timeout=PIP_TIMEOUT_S, env=clean_environment())

    def run(self, *words, cwd: Path, timeout_s: float = 60, **options) -> subprocess.CompletedProcess:
        command = [str(self.scripts / str(words[0])), *map(str, words[1:])]
        return subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, timeout=timeout_s, env=clean_environment(), **options
        )


@pytest.fixture(scope="session")
def environment(tmp_path_factory, wheel) -> Environment:
    return Environment(tmp_path_factory.mktemp("environment") / "venv", wheel)
