"""What an installation brings, and that it leaves other projects alone."""

from __future__ import annotations

import configparser
import textwrap
import zipfile
from pathlib import Path

import pytest

from server.version import VERSION

ROOT = Path(__file__).resolve().parents[2]

OWN_PROGRAM = """
import server, storage, rediselect
assert server.whose == "mine" and storage.whose == "mine", (server, storage)
with rediselect.run() as redis:
    assert redis.ask("SET", "k", "v") == b"OK"
    assert redis.ask("GET", "k") == b"v"
    assert redis.ask("INFO", "server").count(b"redis_version:7.4") == 1
import server, storage
assert server.whose == "mine" and storage.whose == "mine", (server, storage)
print("both work")
"""


@pytest.fixture
def project(tmp_path) -> Path:
    """A project with packages of the same names as ours, and a program that uses both."""
    for name in ("server", "storage", "protocol"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text('whose = "mine"\n')
    (tmp_path / "program.py").write_text(OWN_PROGRAM)
    return tmp_path


def test_the_wheel_is_for_every_platform_and_has_one_package(wheel):
    assert wheel.name == f"rediselect-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
    assert {name.partition("/")[0] for name in names} == {"rediselect", f"rediselect-{VERSION}.dist-info"}
    assert "rediselect/py.typed" in names


def test_the_wheel_holds_every_file_of_the_server(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    for part in ("server", "protocol", "storage"):
        for path in (ROOT / part).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert f"rediselect/_packages/{path.relative_to(ROOT).as_posix()}" in names


def test_nothing_but_the_standard_library_is_required(wheel):
    with zipfile.ZipFile(wheel) as file:
        metadata = file.read(f"rediselect-{VERSION}.dist-info/METADATA").decode()
    required = [line for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    assert required
    assert all("extra ==" in line for line in required)


def test_the_version_is_told_alike_everywhere():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    assert config["metadata"]["version"] == VERSION


def test_a_project_with_a_server_package_of_its_own_keeps_it(environment, project):
    done = environment.run("python", "program.py", cwd=project)
    assert (done.stdout, done.stderr) == ("both work\n", "")


def test_the_commands_run_in_a_folder_with_a_server_package(environment, project):
    done = environment.run("rediselect-server", "--version", cwd=project)
    assert done.stdout.startswith("Redis server v=7.4")
    assert environment.run("rediselect", "--version", cwd=project).stdout == done.stdout
    assert environment.run("rediselect", "server", "-v", cwd=project).stdout == done.stdout
    # As a module, Python itself puts the folder first.
    assert environment.run("python", "-m", "rediselect", "--version", cwd=project).stdout == done.stdout


def test_the_module_is_light(environment, tmp_path):
    """The commands begin with it too: what `run` needs is loaded by `run`."""
    program = textwrap.dedent(
        """
        import sys
        import rediselect
        print(rediselect.__version__, "subprocess" in sys.modules, "socket" in sys.modules)
        """
    )
    assert environment.run("python", "-c", program, cwd=tmp_path).stdout == f"{VERSION} False False\n"
