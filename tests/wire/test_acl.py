"""Access control on the wire: logging in, refusals, their log, users in files, and what a change of rules does."""

from __future__ import annotations

import pytest

from tests.harness.wire import Closed

LOST = (
    b"-NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is "
    b"no longer allowed for the following reason: "
)
NO_FILE = b"-ERR This Redis instance is not configured to use an ACL file."


@pytest.fixture
def secured(restored):
    return restored


@pytest.fixture
def admin(secured):
    with secured.wire() as wire:
        yield wire


def log_in(server, admin, *rules):
    """A client that is the user `u` with these rules."""
    assert admin.command("ACL", "SETUSER", "u", "reset", "on", ">pw", *rules) == (b"+", b"OK")
    client = server.wire()
    assert client.command("AUTH", "u", "pw") == (b"+", b"OK")
    return client


def test_what_a_user_may_not_do_is_refused_in_redis_s_words(secured, admin):
    with log_in(secured, admin, "+get", "+set", "+publish", "+config|get", "%R~r*", "&c*") as client:
        assert client.pipeline([[b"DEL", b"k"], [b"GET", b"x"], [b"SET", b"r", b"1"], [b"GET", b"r"]]) == [
            b"-NOPERM User u has no permissions to run the 'del' command\r\n",
            b"-NOPERM No permissions to access a key\r\n",
            b"-NOPERM No permissions to access a key\r\n",
            b"$-1\r\n",
        ]
        words = [[b"PUBLISH", b"x", b"m"], [b"PUBLISH", b"c1", b"m"], [b"CONFIG", b"SET", b"a", b"b"]]
        assert client.pipeline(words) == [
            b"-NOPERM No permissions to access a channel\r\n",
            b":0\r\n",
            b"-NOPERM User u has no permissions to run the 'config|set' command\r\n",
        ]


def test_a_selector_permits_what_the_root_does_not_but_never_two_halves(secured, admin):
    with log_in(secured, admin, "+get", "~a", "(+set ~b)") as client:
        assert client.ask("GET", "a") is None
        assert client.ask("SET", "b", "1") == b"OK"
        assert client.command("GET", "b")[0] == b"-"
        assert client.command("SET", "a", "1")[0] == b"-"


def test_a_rule_holds_from_the_next_command_of_a_client_that_is_logged_in(secured, admin):
    with log_in(secured, admin, "+@all", "~*") as client:
        assert client.ask("SET", "k", "v") == b"OK"
        admin.command("ACL", "SETUSER", "u", "-set")
        assert client.command("SET", "k", "v") == (b"-", b"NOPERM User u has no permissions to run the 'set' command")


def test_exec_says_why_a_queued_command_is_no_longer_allowed_and_runs_the_others(secured, admin):
    with log_in(secured, admin, "+@all", "~*", "&*") as client:
        for words in (["MULTI"], ["SET", "k", "v"], ["GET", "k"], ["PUBLISH", "c", "m"], ["PING"]):
            client.command(*words)
        admin.command("ACL", "SETUSER", "u", "-set", "resetkeys", "resetchannels")
        client.send(b"*1\r\n$4\r\nEXEC\r\n")
        kind, replies = client.read()
        assert kind == b"*"
        assert [b"-" + text if kind == b"-" else text for kind, text in replies] == [
            LOST + b"no permission to execute the command or subcommand",
            LOST + b"no permission to touch the specified keys",
            LOST + b"no permission to access one of the channels used as arguments",
            b"PONG",
        ]


def test_an_exec_with_refused_commands_counts_them_and_shows_as_itself(secured, admin):
    with log_in(secured, admin, "+@all", "~*") as client:
        for words in (["MULTI"], ["CLIENT", "INFO"], ["SET", "k", "v"], ["GET", "k"]):
            client.command(*words)
        admin.command("ACL", "SETUSER", "u", "-set", "-get")
        shown = client.command("EXEC")[1][0][1]
        described = admin.ask("ACL", "LOG", "1")[0][13]
    for line in (shown, described):
        assert b" flags=x " in line and b" multi=3 " in line and b" argv-mem=4 " in line and b" cmd=exec " in line
    about = admin.ask("INFO", "everything")
    assert b"errorstat_NOPERM:count=2\r\n" in about and b"total_error_replies:2\r\n" in about
    counted = about.split(b"cmdstat_exec:")[1].split(b"\r\n")[0]
    assert counted.endswith(b"rejected_calls=0,failed_calls=1")


def test_a_refusal_while_queueing_spoils_the_transaction(secured, admin):
    with log_in(secured, admin, "+@all", "-set", "~*") as client:
        client.command("MULTI")
        assert client.command("SET", "k", "v")[0] == b"-"
        assert client.command("EXEC") == (b"-", b"EXECABORT Transaction discarded because of previous errors.")


def test_refusals_are_logged_once_and_counted(start_server):
    secured = start_server()  # these counters are never put back
    with secured.wire() as admin:
        with log_in(secured, admin, "+get", "+multi", "+discard", "~a") as client:
            for words in (["SET", "a", "1"], ["SET", "b", "1"], ["GET", "b"], ["MULTI"], ["SET", "a", "1"]):
                client.command(*words)
            client.command("DISCARD")
            client.command("AUTH", "u", "wrong")
            entries = [dict(zip(entry[::2], entry[1::2])) for entry in admin.ask("ACL", "LOG")]
        told = [(e[b"count"], e[b"reason"], e[b"context"], e[b"object"], e[b"username"]) for e in entries]
        assert told == [
            (1, b"auth", b"toplevel", b"AUTH", b"u"),
            (1, b"command", b"multi", b"set", b"u"),
            (1, b"key", b"toplevel", b"b", b"u"),
            (2, b"command", b"toplevel", b"set", b"u"),
        ]
        assert all(b" user=u " in entry[b"client-info"] and float(entry[b"age-seconds"]) < 60 for entry in entries)
        assert [entry[b"entry-id"] for entry in entries] == [3, 2, 1, 0]
        assert admin.ask("ACL", "LOG", "1")[0][1] == 1
        about = admin.ask("INFO", "stats")
        for line in (b"auth:1", b"cmd:3", b"key:1", b"channel:0"):
            assert b"\r\nacl_access_denied_" + line + b"\r\n" in about
        admin.command("CONFIG", "SET", "acllog-max-len", "2")
        assert len(admin.ask("ACL", "LOG")) == 4
        admin.command("AUTH", "u", "again")
        assert len(admin.ask("ACL", "LOG")) == 4  # the same refusal once more: no new entry, nothing to shorten for
        admin.command("AUTH", "v", "wrong")
        assert len(admin.ask("ACL", "LOG")) == 2
        assert admin.ask("ACL", "LOG", "RESET") == b"OK"
        assert admin.ask("ACL", "LOG") == []


def test_subscribers_that_lose_a_channel_are_disconnected_and_the_others_stay(secured, admin):
    with log_in(secured, admin, "+@all", "&*") as loser, secured.wire() as keeper, secured.wire() as other:
        keeper.command("AUTH", "u", "pw")
        loser.command("SUBSCRIBE", "a", "b")
        loser.read()
        keeper.command("PSUBSCRIBE", "a*")
        other.command("SUBSCRIBE", "b")
        assert admin.ask("ACL", "SETUSER", "u", "resetchannels", "&a*") == b"OK"
        assert loser.read_until_closed() == b""
        assert admin.ask("PUBLISH", "ab", "m") == 1
        assert keeper.read()[1][3] == (b"$", b"m")
        assert admin.ask("PUBLISH", "b", "m") == 1
        assert other.read()[1][2] == (b"$", b"m")


def test_deluser_disconnects_the_user_s_clients_and_nobody_else(secured, admin):
    with log_in(secured, admin, "+@all") as client:
        assert admin.ask("ACL", "DELUSER", "u", "nobody") == 1
        assert client.read_until_closed() == b""
    assert admin.ask("ACL", "USERS") == [b"default"]
    admin.command("ACL", "SETUSER", "v")
    assert admin.command("ACL", "DELUSER", "v", "default") == (b"-", b"ERR The 'default' user cannot be removed")
    assert admin.ask("ACL", "USERS") == [b"default", b"v"]


def test_a_user_that_deletes_itself_reads_the_answer_and_is_gone(secured, admin):
    client = log_in(secured, admin, "+@all")
    client.send(b"*3\r\n$3\r\nACL\r\n$7\r\nDELUSER\r\n$1\r\nu\r\n")
    assert client.read_until_closed() == b":1\r\n"
    client.close()


def test_all_rules_of_setuser_hold_or_none(secured, admin):
    assert admin.command("ACL", "SETUSER", "u", "+get", "+nosuch") == (
        b"-",
        b"ERR Error in ACL SETUSER modifier '+nosuch': Unknown command or category name in ACL",
    )
    assert admin.ask("ACL", "GETUSER", "u") is None
    admin.command("ACL", "SETUSER", "u", "on", "+get")
    before = admin.ask("ACL", "GETUSER", "u")
    assert admin.command("ACL", "SETUSER", "u", "-get", "~a", "%~x")[0] == b"-"
    assert admin.ask("ACL", "GETUSER", "u") == before


def test_getuser_is_a_map_with_a_set_of_flags_in_resp3(secured, admin):
    admin.command("HELLO", "3")
    admin.command("ACL", "SETUSER", "u", "on", "+get", "%R~a", "&c", "(~b)")
    kind, pairs = admin.command("ACL", "GETUSER", "u")
    assert kind == b"%" and len(pairs) == 6
    assert admin.command("ACL", "GETUSER", "nobody") == (b"_", None)


def test_a_disabled_user_cannot_log_in_but_stays_logged_in(secured, admin):
    with log_in(secured, admin, "+ping") as client, secured.wire() as late:
        admin.command("ACL", "SETUSER", "u", "off")
        assert client.ask("PING") == b"PONG"
        refusal = (b"-", b"WRONGPASS invalid username-password pair or user is disabled.")
        assert late.command("AUTH", "u", "pw") == refusal
        assert late.command("HELLO", "3", "AUTH", "u", "pw") == refusal


def test_requirepass_is_the_password_of_the_default_user(start_server):
    server = start_server("--requirepass", "one")
    with server.wire() as wire, server.wire() as late:
        assert wire.command("GET", "k") == (b"-", b"NOAUTH Authentication required.")
        assert wire.ask("AUTH", "one") == b"OK"
        assert b"#" in wire.ask("ACL", "LIST")[0]
        wire.command("ACL", "SETUSER", "default", ">two")
        assert late.ask("AUTH", "two") == b"OK"
        wire.command("CONFIG", "SET", "requirepass", "three")
        assert late.command("AUTH", "two")[0] == b"-"
        assert late.ask("AUTH", "three") == b"OK"
        wire.command("ACL", "SETUSER", "default", "nopass")
    with server.wire() as fresh:
        assert fresh.ask("PING") == b"PONG"


def test_users_of_the_configuration_are_there_from_the_start_and_rewritten(start_server, tmp_path):
    path = tmp_path / "redis.conf"
    default = "user default on nopass ~* &* -@all +@connection +acl +config\n"
    path.write_text("user u on >pw ~a* resetchannels +@read -get\n" + default)
    server = start_server(str(path))
    with server.wire() as wire:
        assert wire.command("GET", "k")[0] == b"-"
        assert wire.ask("AUTH", "u", "pw") == b"OK"
        assert wire.command("GET", "a") == (b"-", b"NOPERM User u has no permissions to run the 'get' command")
        assert wire.ask("STRLEN", "a") == 0
        wire.command("AUTH", "default", "")
        wire.command("ACL", "SETUSER", "new", "on", "+ping", "(~x +get)")
        assert wire.ask("CONFIG", "REWRITE") == b"OK"
        lines = wire.ask("ACL", "LIST")
    written = path.read_bytes().splitlines()
    assert sorted(line for line in written if line.startswith(b"user ")) == sorted(lines)
    with start_server(str(path)).wire() as again:
        assert again.ask("ACL", "LIST") == lines


def test_the_file_of_users_is_saved_and_loaded_whole_or_not_at_all(start_server, tmp_path):
    path = tmp_path / "users.acl"
    path.write_text("user default on nopass ~* &* +@all\nuser u on >pw +get ~a\nuser gone on >pw +@all\n")
    server = start_server("--aclfile", str(path))
    with server.wire() as wire, server.wire() as stays, server.wire() as goes:
        assert stays.ask("AUTH", "u", "pw") == b"OK"
        assert goes.ask("AUTH", "gone", "pw") == b"OK"
        wire.command("ACL", "SETUSER", "saved", "on", "+ping")
        wire.command("ACL", "DELUSER", "gone")
        assert wire.ask("ACL", "SAVE") == b"OK"
        kept = wire.ask("ACL", "LIST")
        assert path.read_bytes().splitlines() == kept
        wire.command("ACL", "DELUSER", "saved")
        assert wire.ask("ACL", "LOAD") == b"OK"
        assert wire.ask("ACL", "LIST") == kept
        path.write_text("user u on +nosuch\nuser\n")
        kind, text = wire.command("ACL", "LOAD")
        assert kind == b"-" and text.startswith(b"ERR ") and b"users.acl:1: " in text
        assert text.endswith(b"detected, no change to the previously active ACL rules was performed")
        assert wire.ask("ACL", "LIST") == kept
        path.write_text("user u on nopass +set ~a\n")
        assert wire.ask("ACL", "LOAD") == b"OK"
        assert stays.ask("SET", "a", "1") == b"OK"
        assert stays.command("GET", "a")[0] == b"-"


def test_without_a_file_of_users_save_and_load_say_so(secured, admin):
    for word in ("SAVE", "LOAD"):
        kind, text = admin.command("ACL", word)
        assert (b"-" + text).startswith(NO_FILE)


def test_new_users_listen_to_no_channel_unless_the_configuration_says_so(secured, admin):
    admin.command("ACL", "SETUSER", "a")
    admin.command("CONFIG", "SET", "acl-pubsub-default", "allchannels")
    admin.command("ACL", "SETUSER", "b", "(+get)")
    assert admin.ask("ACL", "LIST")[:2] == [
        b"user a off sanitize-payload resetchannels -@all",
        b"user b off sanitize-payload &* -@all (&* -@all +get)",
    ]


def test_sort_by_and_get_need_the_right_to_read_every_key(secured, admin):
    admin.command("RPUSH", "a", "1")
    with log_in(secured, admin, "+@all", "~a*") as client:
        denied = b"option of SORT denied due to insufficient ACL permissions."
        assert client.command("SORT", "a", "BY", "w*") == (b"-", b"ERR BY " + denied)
        assert client.command("SORT", "a", "GET", "w*") == (b"-", b"ERR GET " + denied)
        assert client.ask("SORT", "a", "BY", "nosort") == [b"1"]
        admin.command("ACL", "SETUSER", "u", "%R~*")
        assert client.ask("SORT", "a", "BY", "w*") == [b"1"]


def test_logging_in_as_somebody_else_ends_what_the_user_before_could_do(secured, admin):
    with log_in(secured, admin, "+ping") as client:
        assert client.command("GET", "k")[0] == b"-"
        assert client.ask("AUTH", "default", "") == b"OK"
        assert client.ask("GET", "k") is None
        assert client.ask("ACL", "WHOAMI") == b"default"
        client.command("AUTH", "u", "pw")
        assert client.command("RESET") == (b"+", b"RESET")
        assert client.ask("GET", "k") is None


@pytest.mark.parametrize(
    "lines, reason",
    [
        ("user u on\nuser u off", r"at line 2\n>>> 'user u off'\nError in user declaration 'u': Duplicate user"),
        ("user u on nosuch", r">>> 'user u on nosuch'\nError in user declaration 'u': Syntax error"),
        ("user u (+get", r">>> 'user u \(\+get'\nError in user declaration '\(\+get': Unmatched parenthesis"),
        ("user u on +nosuch", r"rule '\+nosuch' for the user named 'u': Unknown command.*\n.*loading ACLs. Exiting."),
        ('user "a b" on', r"Spaces not allowed in ACL usernames\n.*Critical error while loading ACLs. Exiting."),
        ("aclfile x\nuser u on", "in redis.conf and at the same setting an ACL file path is invalid"),
        ("aclfile nosuch", "because of ACL errors: Error loading ACLs, opening file 'nosuch': No such file"),
    ],
)
def test_an_error_in_the_configured_users_ends_the_start(start_server, tmp_path, lines, reason):
    path = tmp_path / "redis.conf"
    path.write_text(lines + "\n")
    with pytest.raises(Exception, match=reason):
        start_server(str(path))


def test_the_log_tells_of_users_nobody_can_be_and_of_rules_about_a_first_argument(start_server):
    server = start_server("--user", "u", "+select|0")
    with server.wire() as wire:
        wire.command("ACL", "SETUSER", "v", "(+get|a)")
    log = server.log()
    assert "The user 'u' is disabled (there is no 'on' modifier in the user description)" in log
    assert "misuse of ACL and may get disabled in the future (offender: +select|0)" in log
    assert "misuse of ACL and may get disabled in the future (offender: +get|a)" in log


def test_a_broken_file_of_users_is_refused_with_what_is_wrong_in_each_line(start_server, tmp_path):
    path = tmp_path / "users.acl"
    path.write_text("\n")
    with start_server("--aclfile", "users.acl", "--dir", str(tmp_path)).wire() as wire:
        before = wire.ask("ACL", "LIST")
        path.write_text("user a on +no1 -no2 foo #x\r\n\nuser a\nuser b (+get\nuser b\tc on\n# comment\n")
        assert wire.command("ACL", "LOAD") == (
            b"-",
            b"ERR users.acl:1: Error in applying operation '+no1': Unknown command or category name in ACL. "
            b"users.acl:1: Error in applying operation '-no2': Unknown command or category name in ACL. "
            b"users.acl:1: Syntax error. WARNING: Duplicate user 'a' found on line 3. "
            b"users.acl:4: Unmatched parenthesis in selector definition."
            b"'users.acl:5: username 'b\tc' contains invalid characters. "
            b"users.acl:6 should start with user keyword followed by the username. "
            b"WARNING: ACL errors detected, no change to the previously active ACL rules was performed",
        )
        assert wire.ask("ACL", "LIST") == before


def test_words_of_rules_end_where_c_ends_them(secured, admin):
    assert admin.ask("ACL", "SETUSER", "u", b"on\0x", b"+get\0x", b"(+set\0 nosuch)") == b"OK"
    assert admin.ask("ACL", "LIST")[1] == (
        b"user u on sanitize-payload resetchannels -@all +get (resetchannels -@all +set)"
    )


def test_closed_is_what_a_dropped_client_meets(secured, admin):
    with log_in(secured, admin, "+@all") as client:
        admin.command("ACL", "DELUSER", "u")
        with pytest.raises(Closed):
            client.ask("PING")
