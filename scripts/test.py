#!/usr/bin/env python3
"""Run the tests in a virtual environment made for them.

    python3 scripts/test.py [pytest arguments]
    python3 scripts/test.py --prepare      make the environment, print its interpreter, run nothing

Needs Python and a package index, no shell. The environment is kept in .venv-test and made again when the
interpreter or the list of requirements (setup.cfg, extra `test`) has changed.
"""

from __future__ import annotations

import configparser
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv-test"
STAMP = ENVIRONMENT / "made-for.json"


def read_requirements() -> list[str]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = config["options.extras_require"]["test"].splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def environment_python() -> Path:
    if os.name == "nt":
        return ENVIRONMENT / "Scripts" / "python.exe"
    return ENVIRONMENT / "bin" / "python"


def describe(requirements: list[str]) -> dict[str, object]:
    """What the environment depends on: any change makes a new one."""
    return {
        "python": sys.version,
        "prefix": sys.base_prefix,
        "at": str(ENVIRONMENT),
        "requirements": requirements,
    }


def is_fresh(wanted: dict[str, object]) -> bool:
    try:
        return environment_python().exists() and json.loads(STAMP.read_text(encoding="utf-8")) == wanted
    except (OSError, ValueError):
        return False


def make_environment() -> Path:
    """Return the environment's interpreter; make the environment where it is missing or stale."""
    requirements = read_requirements()
    wanted = describe(requirements)
    python = environment_python()
    if is_fresh(wanted):
        return python
    print(f"making {ENVIRONMENT.name} with {', '.join(requirements)}", file=sys.stderr, flush=True)
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    try:
        venv.create(ENVIRONMENT, with_pip=True)
    except (subprocess.CalledProcessError, ImportError, SystemExit) as error:
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        raise SystemExit(
            f"cannot make a virtual environment ({error}); on Debian and Ubuntu: apt-get install python3-venv"
        ) from None
    installed = subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements],
        stdout=sys.stderr,
    )
    if installed.returncode:
        raise SystemExit(f"pip could not install {', '.join(requirements)}")
    # Last, so that an interrupted installation is not taken for a finished one.
    STAMP.write_text(json.dumps(wanted), encoding="utf-8")
    return python


def main(arguments: list[str]) -> int:
    python = make_environment()
    if arguments == ["--prepare"]:
        print(python)
        return 0
    try:
        return subprocess.run([str(python), "-m", "pytest", *arguments], cwd=ROOT).returncode
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
