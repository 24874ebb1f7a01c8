"""Room for clients under the system's limits, and a child that gives back what its parent had open."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from server import descriptors
from tests.harness.processes import ROOT

# Twenty pipes, two ends of which are to stay open; LISTED is what the system says is open, by folder.
INHERITED = """
import os
from server import children

LISTED = %s
ends = [descriptor for _ in range(20) for descriptor in os.pipe()]

def listed(folder):
    if folder not in LISTED:
        raise FileNotFoundError(folder)
    return ["0", "1", "2"] + [str(end) for end in ends if LISTED[folder]]

os.listdir = listed
children.close_descriptors((ends[3], ends[30]))
for place, end in enumerate(ends):
    try:
        os.fstat(end)
    except OSError:
        continue
    print(place)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
@pytest.mark.parametrize(
    "listed",
    [{"/proc/self/fd": True}, {"/dev/fd": True}, {"/dev/fd": False}, {}],
    ids=["Linux", "macOS", "FreeBSD", "nothing"],
)
def test_a_child_keeps_what_it_is_told_to_whatever_the_system_lists(listed):
    program = INHERITED % ascii(listed)
    assert subprocess.check_output([sys.executable, "-c", program], cwd=ROOT).split() == [b"3", b"30"]


def test_a_limit_behind_the_hard_one_is_approached_in_steps(monkeypatch):
    """macOS says that there is no hard limit, and refuses what is above OPEN_MAX."""
    resource = pytest.importorskip("resource")
    limits = [256, resource.RLIM_INFINITY]

    def set_limit(_which, wanted):
        if wanted[0] > 10240:
            raise ValueError("current limit exceeds maximum limit")
        limits[:] = wanted

    monkeypatch.setattr(resource, "getrlimit", lambda which: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", set_limit)
    said = []
    log = SimpleNamespace(notice=said.append, warning=said.append)
    config = SimpleNamespace(maxclients=20_000)
    assert descriptors.make_room(config, log)
    assert 10240 - descriptors.STEP < limits[0] <= 10240
    assert limits[1] == resource.RLIM_INFINITY
    assert config.maxclients == limits[0] - descriptors.RESERVED
    assert "maxclients has been reduced to %d" % config.maxclients in said[-1]
