"""redis.conf, the command line, and CONFIG REWRITE of the file."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from server.config.command_line import ProgramEnds, configure, parse_arguments
from server.config.configuration import Config
from server.config.files import ConfigurationError, FileReader, UnreadableFile
from server.config.rewriting import rewritten
from storage.errors import CommandError

ROOT = Path(__file__).resolve().parents[2]
FATAL = "\n*** FATAL CONFIG FILE ERROR (Redis 7.4.1) ***\n"


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(text: str) -> Config:
    config = Config()
    FileReader(config).read(standard_input=text.encode())
    return config


def shown(config: Config, name: str) -> str:
    return config.get([name.encode()])[0][1].decode()


def failure(*arguments: str) -> str:
    with pytest.raises(ProgramEnds) as ended:
        configure(list(arguments))
    assert ended.value.code == 1
    return ended.value.err


# The file ------------------------------------------------------------------------------------------------------


def test_comments_blank_lines_case_and_line_ends_do_not_matter():
    config = read("# timeout 9\r\n\r\n  TimeOut \t 5  \r\nmaxmemory 10mb")
    assert (config.timeout, config.maxmemory) == (5, 10 * 1024 * 1024)


def test_quotes_are_read_as_in_redis():
    config = read("requirepass \"a\\x41\\n\\\"b\"\nmasterauth 'a \\' b'\nunixsocket \"\"")
    assert config.requirepass == b'aA\n"b'
    assert config.masterauth == b"a ' b"
    assert config.unixsocket == b""


def test_save_lines_replace_the_default_and_add_up():
    assert read("save 100 1\nsave 200 2").save == ((100, 1), (200, 2))
    assert read('save 100 1\nsave ""\nsave 300 3 400 4').save == ((300, 3), (400, 4))
    assert read('save ""').save == ()


def test_old_names_and_forgotten_directives_still_work():
    config = read("slave-priority 5\nhash-max-ziplist-entries 7\nlist-max-ziplist-value 64\n")
    assert (config.replica_priority, config.hash_max_listpack_entries) == (5, 7)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("foo bar", "Bad directive or wrong number of arguments"),
        ("timeout", "wrong number of arguments"),
        ("timeout 1 2", "wrong number of arguments"),
        ("timeout # 5", "wrong number of arguments"),
        ("databases 0", "argument must be between 1 and 2147483647 inclusive"),
        ("unixsocketperm 999", "argument couldn't be parsed as an octal number"),
        ("unixsocketperm 1000", "argument must be between 0 and 777 inclusive"),
        ("appendfilename a/b", "appendfilename can't be a path, just a filename"),
        ('appenddirname ""', "appenddirname can't be empty"),
        ("replicaof host", "wrong number of arguments"),
        ("replicaof host x", "Invalid master port"),
        ("dir /nowhere/at/all", "No such file or directory"),
        ("supervised x", "argument(s) must be one of the following: upstart, systemd, auto, no"),
        ("list-max-ziplist-value 1 2", "Bad directive or wrong number of arguments"),
        ("include", "Bad directive or wrong number of arguments"),
        ("rename-command GET", "Bad directive or wrong number of arguments"),
        ("user", "Bad directive or wrong number of arguments"),
        ("loadmodule /x.so", "Modules are not supported by this server"),
        ("foo.bar", "Module config specified without value"),
        ('requirepass "abc', "Unbalanced quotes in configuration line"),
        ("cluster-enabled yes", "this server does not support cluster mode: cluster-enabled must be 'no'"),
    ],
)
def test_a_bad_line_is_named_with_its_number_place_and_reason(line, reason):
    with pytest.raises(ConfigurationError) as refused:
        read("port 1\n\n" + line)
    place = "Reading the configuration file, at line 3\n>>> '" + line + "'\n"
    assert refused.value.message == FATAL + place + reason + "\n(standard input, line 3)\n"


def test_the_file_of_a_bad_line_is_named(directory):
    (directory / "inner.conf").write_text("timeout x\n")
    (directory / "outer.conf").write_text("port 1\ninclude inner.conf\n")
    error = failure("outer.conf")
    assert "at line 1\n>>> 'timeout x'\nargument couldn't be parsed into an integer\n(inner.conf, line 1)" in error


def test_include_reads_all_that_match_in_order(directory):
    (directory / "a1.conf").write_text("timeout 1\nsave 1 1\n")
    (directory / "a2.conf").write_text("timeout 2")
    config = read("include a*.conf\nmaxclients 9\ninclude none*.conf")
    assert (config.timeout, config.maxclients, config.save) == (2, 9, ((1, 1),))


def test_a_missing_file_is_one_line_for_the_log():
    with pytest.raises(UnreadableFile) as missing:
        read("include missing.conf")
    text = "Fatal error, can't open config file 'missing.conf': No such file or directory"
    assert missing.value.message == text


def test_a_file_that_includes_itself_ends(directory):
    (directory / "loop.conf").write_text("include loop.conf\n")
    assert "Too many nested include directives" in failure("loop.conf")


def test_dir_counts_at_once_for_what_follows(directory):
    (directory / "data").mkdir()
    (directory / "data" / "more.conf").write_text("timeout 3\n")
    config = read("dir data\ninclude more.conf")
    assert (config.timeout, config.dir) == (3, os.fsencode(directory / "data"))


def test_a_log_file_that_cannot_be_opened_ends_the_start():
    error = failure("--logfile", "/nowhere/x.log")
    assert error == FATAL + "Can't open the log file: No such file or directory\n"


def test_users_and_renamed_commands_are_kept_for_their_parts():
    config = read("user alice on nopass\nrename-command FLUSHALL ''")
    assert config.users == [[b"user", b"alice", b"on", b"nopass"]]
    assert config.renamed_commands == [[b"rename-command", b"FLUSHALL", b""]]


def test_a_part_judges_the_lines_that_are_kept_for_it():
    def judge(words):
        return "No such command in rename-command" if words[1] == b"NOPE" else None

    config = Config()
    reader = FileReader(config, {"rename-command": judge})
    reader.read(options=b"rename-command GET X")
    with pytest.raises(ConfigurationError) as refused:
        reader.read(options=b"rename-command NOPE X")
    assert "No such command in rename-command\n(command line)" in refused.value.message


# The command line ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["--port", "7"], "port", "7"),
        (["--port 7"], "port", "7"),
        (["--PORT", "7"], "port", "7"),
        (["--port", "7", "--port", "8"], "port", "8"),
        (["--save"], "save", ""),
        (["--save", ""], "save", ""),
        (["--save", '""'], "save", ""),
        (["--save", " "], "save", ""),
        (["--save", "--appendonly", "yes"], "save", ""),
        (["--save", "--appendonly", "yes"], "appendonly", "yes"),
        (["--save", "60", "1"], "save", "60 1"),
        (["--save", "60 1"], "save", "60 1"),
        (["--save 60 1"], "save", "60 1"),
        (["--save ", "60 1"], "save", "60 1"),
        (["--save", "60", "1", "300", "10"], "save", "60 1 300 10"),
        (["--save 60 1", "--save 300 10"], "save", "60 1 300 10"),
        (["--bind", "127.0.0.1", "::1"], "bind", "127.0.0.1 ::1"),
        (["--bind", "127.0.0.1 ::1"], "bind", "127.0.0.1 ::1"),
        (["--bind"], "bind", ""),
        (["--requirepass", "--x"], "requirepass", "--x"),
        (["--requirepass", 'a"b\n\x01'], "requirepass", 'a"b\n\x01'),
        (['--requirepass "a b"'], "requirepass", "a b"),
        (["--requirepass", ""], "requirepass", ""),
        (["--shutdown-on-sigint", "nosave force"], "shutdown-on-sigint", "nosave force"),
        (["--slaveof", "a 5"], "replicaof", "a 5"),
        (["--replicaof", "NO", "one"], "replicaof", ""),
        (["--unixsocketperm", "770"], "unixsocketperm", "770"),
        (["--"], "port", "6379"),
    ],
)
def test_options_are_understood_in_every_form(arguments, name, value):
    assert shown(configure(arguments), name) == value


@pytest.mark.parametrize(
    ("arguments", "number", "line", "reason"),
    [
        (["--foo", "bar"], 2, 'foo "bar"', "Bad directive or wrong number of arguments"),
        (["--port"], 2, "port", "wrong number of arguments"),
        (["--port", "1", "x", "--y"], 2, 'port "1" "x"', "wrong number of arguments"),
        (
            ["--port", "1", "--loglevel", "--verbose"],
            3,
            'loglevel "--verbose"',
            "argument(s) must be one of the following: debug, verbose, notice, warning, nothing",
        ),
        (["-x"], 2, '"-x"', "Bad directive or wrong number of arguments"),
        (["--save", "60", "1", ""], 2, 'save "60" "1" ""', "Invalid save parameters"),
        (["--requirepass 'a"], 2, "requirepass 'a", "Unbalanced quotes in configuration line"),
        (["--port", "1", "-", "--port", "2"], 2, 'port "1" "-"', "wrong number of arguments"),
    ],
)
def test_a_wrong_option_is_shown_as_the_line_it_becomes(arguments, number, line, reason):
    text = f"Reading the configuration file, at line {number}\n>>> '{line}'\n{reason}\n(command line)\n"
    assert failure(*arguments) == FATAL + text


def test_a_dash_first_or_last_reads_standard_input():
    assert parse_arguments([b"-"]).reads_standard_input
    assert parse_arguments([b"--port", b"1", b"-"]).reads_standard_input
    assert parse_arguments([b"a.conf", b"--port", b"1", b"-"]).reads_standard_input
    assert not parse_arguments([b"--port", b"-", b"1"]).reads_standard_input


def test_file_then_standard_input_then_options_and_the_last_wins(directory):
    (directory / "a.conf").write_text("timeout 1\nhz 20\nmaxclients 5")
    script = (
        "import sys; from server.config.command_line import configure;"
        "c = configure(sys.argv[1:]); print(c.timeout, c.hz, c.maxclients, c.config_file.decode())"
    )
    output = subprocess.run(
        [sys.executable, "-c", script, "a.conf", "--timeout", "3", "-"],
        input=b"timeout 2\nhz 30\n",
        capture_output=True,
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        cwd=directory,
        timeout=20,
        check=True,
    ).stdout
    assert output.decode().split() == ["3", "30", "5", str(directory / "a.conf")]


def test_the_file_s_path_is_absolute_before_dir_changes(directory):
    (directory / "data").mkdir()
    (directory / "a.conf").write_text("dir data\n")
    assert configure(["a.conf"]).config_file == os.fsencode(directory / "a.conf")


@pytest.mark.parametrize("request_", ["-v", "--version"])
def test_version_is_told_as_launchers_parse_it(request_):
    with pytest.raises(ProgramEnds) as ended:
        configure([request_, "--whatever"])
    assert ended.value.code == 0
    assert ended.value.out.startswith("Redis server v=7.4.1 sha=")


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        ("-h", "Usage: "),
        ("--help", "/path/to/redis.conf"),
        ("--test-memory", "not supported"),
    ],
)
def test_other_requests_are_answered_on_standard_error(request_, word):
    assert word in failure(request_)


@pytest.mark.parametrize(
    ("path", "program"), [("/usr/bin/redis-server", "redis-server"), ("/x/server/__main__.py", "python3 -m server")]
)
def test_advice_names_the_program_that_was_started(path, program, monkeypatch):
    monkeypatch.setattr(sys, "argv", [path])
    assert failure("-h").startswith("Usage: %s [/path/to/redis.conf]" % program)


def test_the_system_is_checked_as_far_as_it_can_be():
    with pytest.raises(ProgramEnds) as ended:
        configure(["--check-system"])
    lines = ended.value.out.splitlines()
    assert [line.split("...")[0] for line in lines if line.startswith("[")] == ["[overcommit]", "[THP]"]
    assert ended.value.code == ("WARNING" in ended.value.out)


def test_reading_imports_nothing_heavy():
    script = (
        "import sys; before = set(sys.modules); from server.config.command_line import configure;"
        "configure(['--save', '60', '1', '--bind', '127.0.0.1']);"
        "new = set(sys.modules) - before;"
        "print(sorted(new & {'re', 'argparse', 'logging', 'typing', 'enum', 'dataclasses', 'glob', 'shlex'}))"
    )
    output = subprocess.run(
        [sys.executable, "-S", "-c", script],
        capture_output=True,
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        timeout=20,
        check=True,
    ).stdout
    assert output.strip() == b"[]"


# CONFIG REWRITE ------------------------------------------------------------------------------------------------


def text_of(block: str) -> bytes:
    return textwrap.dedent(block).lstrip("\n").encode()


def test_rewrite_keeps_comments_and_order_and_changes_what_is_untrue():
    old = text_of(
        """
        # my comment
          # indented
        timeout 5


        save 900 1
        save 300 10
        MAXMEMORY 10mb
        slave-priority 50
        user alice on nopass
        client-output-buffer-limit replica 1mb 2mb 30
        tcp-keepalive 300
        rename-command FLUSHALL ""
        include none*.conf
        timeout 6
        no-such-directive 3
        bind 127.0.0.1
        """
    )
    config = read(old.decode().replace("no-such-directive 3\n", ""))
    config.set([(b"timeout", b"7"), (b"save", b"60 1"), (b"maxmemory", b"100"), (b"requirepass", b'a"b')])
    expected = text_of(
        f"""
        # my comment
        # indented
        timeout 7

        save 60 1

        maxmemory 100
        replica-priority 50
        user alice on nopass
        client-output-buffer-limit normal 0 0 0
        tcp-keepalive 300
        rename-command FLUSHALL ""
        include none*.conf

        # ??? no-such-directive 3
        bind 127.0.0.1

        # Generated by CONFIG REWRITE
        client-output-buffer-limit replica 1mb 2mb 30
        dir "{os.getcwd()}"
        requirepass "a\\"b"
        latency-tracking-info-percentiles 50 99 99.9
        """
    )
    assert rewritten(config, old) == expected


def test_a_rewritten_file_reads_back_to_the_same_values():
    config = Config()
    config.set(
        [
            (b"save", b""),
            (b"notify-keyspace-events", b"KEA"),
            (b"client-output-buffer-limit", b"slave 1025 1gb 3 pubsub 0 0 0"),
            (b"maxmemory-clients", b"5%"),
            (b"oom-score-adj-values", b"1 2 3"),
            (b"latency-tracking-info-percentiles", b"1 2.5"),
            (b"shutdown-on-sigint", b"force now"),
            (b"masteruser", bytes(range(1, 256))),
            (b"repl-backlog-size", b"1500000"),
            (b"maxmemory", b"3kb"),
            (b"bind", b"127.0.0.1 -::1"),
            (b"watchdog-period", b"300"),
        ]
    )
    config.replicaof = ("example.com", 6380)
    written = rewritten(config, b"")
    assert written.startswith(b"# Generated by CONFIG REWRITE\n")
    again = Config()
    FileReader(again).read(standard_input=written)
    for directive in config.directives():
        assert again.value_of(directive) == config.value_of(directive), directive.name
    settled = rewritten(again, written)  # the class without a line has one now
    settled = rewritten(again, settled)  # and the end is a blank line
    assert rewritten(again, settled) == settled


def test_users_are_written_by_whoever_knows_them():
    config = read("user alice on\nuser bob off")
    config.user_lines = lambda: [b"user default on nopass"]
    written = rewritten(config, b"user alice on\nuser bob off\ntimeout 1\n")
    assert written.startswith(b"user default on nopass\n\ntimeout 0\n")


def test_rewrite_replaces_the_file_and_keeps_its_mode(directory):
    path = directory / "redis.conf"
    path.write_text("timeout 5\n")
    path.chmod(0o640)
    config = configure(["redis.conf"])
    config.set([(b"timeout", b"8")])
    config.rewrite()
    assert path.read_text().startswith("timeout 8\n")
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(directory) == ["redis.conf"]


def test_rewrite_without_a_file_is_refused():
    with pytest.raises(CommandError) as refused:
        Config().rewrite()
    assert refused.value.text == b"ERR The server is running without a config file"


def test_rewrite_that_cannot_write_leaves_the_file(directory):
    config = Config()
    config.config_file = os.fsencode(directory / "missing" / "redis.conf")
    with pytest.raises(CommandError) as refused:
        config.rewrite()
    assert refused.value.text == b"ERR Rewriting config file: No such file or directory"
