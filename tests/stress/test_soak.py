"""The soak in its short form, and that it would tell."""

from __future__ import annotations

import subprocess
import sys

from tests.harness.processes import ROOT

SOAK = [sys.executable, str(ROOT / "scripts" / "soak.py")]
FAULTS = "idle,slow-readers,saves,rewrites,config,client-kill,kill-clients,stop-clients,crash,replica"


def soak(*arguments):
    return subprocess.run([*SOAK, *map(str, arguments)], capture_output=True, text=True, timeout=150, cwd=ROOT)


def test_every_promise_holds_for_five_seconds_with_all_faults(tmp_path):
    page = tmp_path / "report.html"
    run = soak("--seconds", 5, "--clients", 9, "--idle", 100, "--report", page)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-3000:]
    assert "every promise held" in run.stdout
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") == 5 and "every promise held" in text


def first_decisions(seed: int) -> str:
    run = soak("--seconds", 30, "--operations", 400, "--clients", 9, "--seed", seed, "--without", FAULTS)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-3000:]
    return next(line for line in run.stdout.splitlines() if line.startswith("first decisions"))


def test_a_seed_repeats_the_decisions_of_each_client_and_another_seed_does_not():
    first = first_decisions(7)
    assert first_decisions(7) == first
    assert first_decisions(8) != first


def test_a_server_that_forgets_what_it_acknowledged_is_found_out_with_the_seed(tmp_path):
    forgetful = tmp_path / "forgetful"
    forgetful.write_text(f'#!/bin/sh\nrm -rf appendonlydir\nexec "{sys.executable}" -m server "$@"\n', encoding="ascii")
    forgetful.chmod(0o755)
    without = "replica,saves,rewrites,idle,slow-readers,config"
    run = soak("--seconds", 15, "--clients", 9, "--seed", 3, "--without", without, "--server", forgetful)
    assert run.returncode == 1, run.stdout[-6000:] + run.stderr[-3000:]
    assert "VIOLATION: " in run.stdout
    assert "again: python3 scripts/soak.py --seed 3 --clients 9 --seconds 15" in run.stdout
