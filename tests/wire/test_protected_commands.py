"""Commands with other names or none, and those that need a switch of their own."""

from __future__ import annotations

import pytest

NOT_ALLOWED = b"ERR %b command not allowed. If the enable-%b-command option is set to"


def test_a_renamed_command_answers_to_its_new_name_only_and_a_removed_one_to_none(start_server):
    server = start_server("--rename-command", "SET", "put", "--rename-command", "FLUSHALL", "")
    with server.wire() as wire:
        assert wire.ask("PUT", "k", "v") == b"OK"
        assert wire.command("SET", "k", "v")[1].startswith(b"ERR unknown command 'SET'")
        assert wire.command("FLUSHALL")[1].startswith(b"ERR unknown command 'FLUSHALL'")
        assert wire.command("put", "k") == (b"-", b"ERR wrong number of arguments for 'set' command")
        assert wire.ask("GET", "k") == b"v"
        assert wire.ask("ACL", "SETUSER", "u", "-flushall", "+set") == b"OK"


def test_a_renaming_that_names_nothing_ends_the_start(start_server):
    with pytest.raises(Exception, match="rename-command"):
        start_server("--rename-command", "NOSUCH", "x")
    with pytest.raises(Exception, match="already exists"):
        start_server("--rename-command", "GET", "set")


def test_debug_and_module_are_refused_at_once_and_when_they_are_queued(start_server):
    with start_server().wire() as wire:
        for words, name in ((["DEBUG", "SLEEP", "0"], b"debug"), (["MODULE", "LOAD", "x"], b"module")):
            refusal = NOT_ALLOWED % (name.upper(), name)
            assert wire.command(*words)[1].startswith(refusal)
            wire.command("MULTI")
            assert wire.command(*words)[1].startswith(refusal)
            assert wire.command("EXEC") == (b"-", b"EXECABORT Transaction discarded because of previous errors.")


def test_protected_directives_change_only_where_the_configuration_allows_it(start_server, tmp_path):
    with start_server().wire() as wire:
        assert wire.command("CONFIG", "SET", "dir", str(tmp_path)) == (
            b"-",
            b"ERR CONFIG SET failed (possibly related to argument 'dir') - can't set protected config",
        )
    with start_server("--enable-protected-configs", "local").wire() as wire:
        assert wire.ask("CONFIG", "SET", "dir", str(tmp_path)) == b"OK"


def test_what_has_no_switch_counts_as_rejected_and_is_refused_before_any_other_reason(start_server):
    server = start_server()
    with server.wire() as wire:
        wire.command("ACL", "SETUSER", "default", "-debug")
        assert wire.command("DEBUG", "SLEEP", "0")[1].startswith(NOT_ALLOWED % (b"DEBUG", b"debug"))
        counted = dict(line.split(":", 1) for line in wire.ask("INFO", "commandstats").decode().split() if ":" in line)
        assert counted["cmdstat_debug"].startswith("calls=0,")
        assert counted["cmdstat_debug"].endswith("rejected_calls=1,failed_calls=0")
