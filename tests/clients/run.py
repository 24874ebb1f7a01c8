#!/usr/bin/env python3
"""Run other people's programs against this server.

    python3 tests/clients/run.py [program...]
    python3 tests/clients/run.py --prepare      fetch them, run nothing

Each program of `programs/` is run as it ships, with requirements of its own: for Python in a virtual environment
beside the tests' (.venv-clients), for node in node_modules there. Neither belongs to the ordinary suite, which needs
only pytest and redis. What cannot be installed here is skipped with the reason; what fails fails the run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT))

from tests.harness import processes  # noqa: E402

ENVIRONMENT = ROOT / ".venv-clients"
PYTHON = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
PROGRAMS = (
    "django_cache.py",
    "channels_layer.py",
    "huey_jobs.py",
    "rq_jobs.py",
    "celery_jobs.py",
    "locks_and_limits.py",
    "ioredis.js",
    "node_redis.js",
    "memory_server.js",
    "bullmq_jobs.js",
)
# Their schedulers and locks are scripts.
SCRIPTED = ("huey_jobs.py", "celery_jobs.py", "locks_and_limits.py", "bullmq_jobs.js")
TIMEOUT_S = 150


def prepare_python() -> str:
    """Make the environment; returns why it could not be made."""
    wanted = (HERE / "requirements.txt").read_text() + sys.version
    stamp = ENVIRONMENT / "made-for.json"
    if stamp.exists() and json.loads(stamp.read_text()) == wanted:
        return ""
    venv.create(ENVIRONMENT, with_pip=True, clear=True)
    install = [str(PYTHON), "-m", "pip", "install", "-q", "-r", str(HERE / "requirements.txt")]
    if subprocess.run(install, stdout=sys.stderr).returncode:
        return "pip could not install the programs"
    stamp.write_text(json.dumps(wanted))
    return ""


def prepare_node() -> str:
    """Install the packages; returns why they could not be installed."""
    if not shutil.which("node") or not shutil.which("npm"):
        return "there is no node here"
    directory = ENVIRONMENT / "node"
    copy, wanted = directory / "package.json", (HERE / "package.json").read_text()
    if (directory / "node_modules").exists() and copy.exists() and copy.read_text() == wanted:
        return ""
    directory.mkdir(parents=True, exist_ok=True)
    copy.write_text(wanted)
    # redis-memory-server would compile a Redis of its own; its program here is given this server.
    env = dict(os.environ, REDISMS_DISABLE_POSTINSTALL="1")
    if subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=directory, env=env).returncode:
        shutil.rmtree(directory)
        return "npm could not install the packages"
    return ""


def has_scripts(server: processes.Server) -> bool:
    with server.wire() as wire:
        return wire.ask("EVAL", "return 1", 0) == 1


def run(program: str, url: str) -> bool:
    env = dict(os.environ, REDIS_URL=url, PYTHONPATH=str(HERE / "programs"))
    command = [str(PYTHON), str(HERE / "programs" / program)]
    if program.endswith(".js"):
        env["NODE_PATH"] = str(ENVIRONMENT / "node" / "node_modules")
        command = ["node", command[1]]
    try:
        return subprocess.run(command, env=env, cwd=HERE / "programs", timeout=TIMEOUT_S).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def main(chosen: list[str]) -> int:
    failed = []
    reasons = {".py": prepare_python(), ".js": prepare_node()}
    if chosen == ["--prepare"]:
        print("\n".join(filter(None, reasons.values())))
        return 0
    if not reasons[".py"]:
        os.environ.setdefault("REDISELECT_PYTHON", str(PYTHON))  # which has the interpreter of scripts
    for program in chosen or PROGRAMS:
        reason = reasons[Path(program).suffix]
        if reason:
            print(f"{program}: skipped, {reason}", flush=True)
            continue
        with processes.start_own("--save", "") as server:
            if program in SCRIPTED and not has_scripts(server):
                print(f"{program}: skipped, this server runs no scripts", flush=True)
            elif not run(program, f"redis://127.0.0.1:{server.port}/0"):
                failed.append(program)
                print(f"{program}: FAILED\n{server.log()[-2000:]}", flush=True)
    print("failed: " + ", ".join(failed) if failed else "every program passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
