"""Directives: their values, CONFIG GET and SET on them, all or nothing."""

from __future__ import annotations

import os

import pytest

from server.config.configuration import Config
from server.config.special import NOTIFY_ALL, NOTIFY_KEYEVENT, NOTIFY_KEYSPACE
from storage.errors import CommandError


@pytest.fixture
def config():
    return Config()


@pytest.fixture
def anywhere(tmp_path, monkeypatch):
    """A working directory that the test may leave."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(config: Config, name: str) -> str:
    pairs = config.get([name.encode()])
    return pairs[0][1].decode() if pairs else "(none)"


def change(config: Config, *words: str) -> str:
    """CONFIG SET in process: "OK" or the error."""
    encoded = [word.encode() for word in words]
    try:
        config.set(list(zip(encoded[::2], encoded[1::2])))
    except CommandError as error:
        return error.text.decode()
    return "OK"


def refusal(name: str, reason: str) -> str:
    return f"ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}"


# Reading -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("save", "3600 1 300 100 60 10000"),
        ("bind", "* -::*"),
        (
            "client-output-buffer-limit",
            "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
        ),
        ("maxmemory", "0"),
        ("proto-max-bulk-len", "536870912"),
        ("unixsocketperm", "0"),
        ("oom-score-adj-values", "0 200 800"),
        ("latency-tracking-info-percentiles", "50 99 99.9"),
        ("notify-keyspace-events", ""),
        ("shutdown-on-sigterm", "default"),
        ("replicaof", ""),
        ("hash-max-listpack-entries", "512"),
        ("list-max-listpack-size", "-2"),
        ("appendfsync", "everysec"),
        ("proc-title-template", "{title} {listen-addr} {server-mode}"),
        ("rdb-target-version", "10"),
        ("tls-port", "0"),
        ("requirepass", ""),
    ],
)
def test_defaults_are_those_of_7_4(config, name, value):
    assert shown(config, name) == value


def test_values_are_attributes_ready_to_use(config):
    assert config.maxclients == 10000
    assert config.appendonly is False
    assert config.maxmemory_policy == "noeviction"
    assert config.save == ((3600, 1), (300, 100), (60, 10000))
    assert config.client_output_buffer_limit[b"replica"] == (268435456, 67108864, 60)
    assert config.requirepass == b""
    assert config.bind == ("*", "-::*")


def test_a_pattern_finds_old_names_too(config):
    names = [name for name, _ in config.get([b"*-priority"])]
    assert names == [b"replica-priority", b"slave-priority"]


def test_a_name_is_answered_as_it_was_spelled(config):
    assert config.get([b"MaxMemory"]) == [(b"MaxMemory", b"0")]


def test_several_patterns_answer_each_name_once(config):
    names = [name for name, _ in config.get([b"MAXMEMORY", b"maxmemory", b"maxmemory*", b"nothing"])]
    assert names == [
        b"MAXMEMORY",
        b"maxmemory-policy",
        b"maxmemory-samples",
        b"maxmemory-eviction-tenacity",
        b"maxmemory-clients",
    ]


def test_hidden_directives_answer_to_their_name_only(config):
    everything = [name for name, _ in config.get([b"*"])]
    for name in (b"watchdog-period", b"key-load-delay", b"rdb-key-save-delay", b"aof-disable-auto-gc"):
        assert name not in everything
        assert config.get([name]) != []
    assert config.get([b"watchdog-perio?"]) == []


def test_secrets_are_known_as_such(config):
    assert config.is_sensitive(b"REQUIREPASS")
    assert config.is_sensitive(b"tls-key-file-pass")
    assert not config.is_sensitive(b"maxmemory")
    assert not config.is_sensitive(b"unheard-of")


# Changing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("maxmemory", "1k", "1000"),
        ("maxmemory", "1KB", "1024"),
        ("maxmemory", "1gB", "1073741824"),
        ("maxmemory", "", "0"),
        ("maxmemory", "99999999999999999999", "18446744073709551615"),
        ("maxmemory", "17179869184gb", "0"),
        ("maxmemory-clients", "5%", "5%"),
        ("maxmemory-clients", "0%", "0"),
        ("maxmemory-clients", "5k", "5000"),
        ("hz", "0", "1"),
        ("loglevel", "warning\0x", "warning"),
        ("masteruser", "me\0x", "me"),
        ("masterauth", "me\0x", "me\0x"),
        ("hz", "1000", "500"),
        ("appendonly", "YES", "yes"),
        ("loglevel", "Debug", "debug"),
        ("oom-score-adj", "relative", "yes"),
        ("save", "", ""),
        ("save", "900 1 300 10", "900 1 300 10"),
        ("client-output-buffer-limit", "replica 1k 2kb 3", None),
        ("notify-keyspace-events", "KEA", "AKE"),
        ("notify-keyspace-events", "g$lshzxetd", "A"),
        ("notify-keyspace-events", "AKEmn", "AKEm"),
        ("notify-keyspace-events", "Exn", "xnE"),
        ("latency-tracking-info-percentiles", "", ""),
        ("latency-tracking-info-percentiles", "50.50 1e1", "50.5 10"),
        ("shutdown-on-sigint", "force now", "now force"),
        ("shutdown-on-sigint", "default force", "force"),
        ("oom-score-adj-values", "-5 0 5", "-5 0 5"),
        ("bind-source-addr", "127.0.0.1", "127.0.0.1"),
        ("slave-priority", "7", "7"),
        ("hash-max-ziplist-value", "1kb", "1024"),
        ("watchdog-period", "1", "200"),
        ("cluster-announce-hostname", "a.b-c", "a.b-c"),
    ],
)
def test_accepted_values_are_shown_as_redis_shows_them(config, name, given, value):
    assert change(config, name, given) == "OK"
    if name == "client-output-buffer-limit":
        value = "normal 0 0 0 slave 1000 2048 3 pubsub 33554432 8388608 60"
    assert shown(config, name) == value


INTEGER = "argument couldn't be parsed into an integer"
MEMORY = "argument must be a memory value"
SAVE = "Invalid save parameters"
BUFFER = "Error in hard, soft or soft_seconds setting in buffer limit configuration."


@pytest.mark.parametrize(
    ("name", "given", "reason"),
    [
        ("port", "65536", "argument must be between 0 and 65535 inclusive"),
        ("timeout", "x", INTEGER),
        ("timeout", "", INTEGER),
        ("timeout", "+5", INTEGER),
        ("timeout", "05", INTEGER),
        ("timeout", "9223372036854775808", INTEGER),
        ("timeout", "2147483648", "argument must be between 0 and 2147483647 inclusive"),
        ("maxmemory", "-1", MEMORY),
        ("maxmemory", "1t", MEMORY),
        ("maxmemory", "1.5k", MEMORY),
        ("maxmemory", " 5", MEMORY),
        ("maxmemory-clients", "-5%", "argument must be a memory or percent value"),
        ("maxmemory-clients", "101%", "percentage argument must be less or equal to 100"),
        ("maxmemory-clients", "9223372036854775808", "percentage argument must be less or equal to 100"),
        ("proto-max-bulk-len", "1", "argument must be between 1048576 and 9223372036854775807 inclusive"),
        ("appendonly", "maybe", "argument must be 'yes' or 'no'"),
        ("appendfsync", "x", "argument(s) must be one of the following: everysec, always, no"),
        ("save", " ", SAVE),
        ("save", "60", SAVE),
        ("save", "60  1", SAVE),
        ("save", "0 1", SAVE),
        ("save", "60 1 50 x", SAVE),
        (
            "client-output-buffer-limit",
            "normal 1 2",
            "Wrong number of arguments in buffer limit configuration.",
        ),
        (
            "client-output-buffer-limit",
            "master 1 2 3",
            "Invalid client class specified in buffer limit configuration.",
        ),
        ("client-output-buffer-limit", "normal x 2 3", BUFFER),
        ("client-output-buffer-limit", "normal 1 2 -3", BUFFER),
        ("oom-score-adj-values", "1 2", "wrong number of arguments"),
        (
            "oom-score-adj-values",
            "1 2 3000",
            "Invalid oom-score-adj-values, elements must be between -2000 and 2000.",
        ),
        (
            "notify-keyspace-events",
            "kea",
            "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.",
        ),
        (
            "latency-tracking-info-percentiles",
            "100.5",
            "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
        ),
        (
            "latency-tracking-info-percentiles",
            "1 x",
            "Invalid latency-tracking-info-percentiles parameters",
        ),
        (
            "shutdown-on-sigint",
            "save nosave",
            "shutdown options SAVE and NOSAVE can't be used simultaneously",
        ),
        (
            "shutdown-on-sigint",
            "",
            "argument(s) must be one of the following: default, save, nosave, now, force",
        ),
        (
            "proc-title-template",
            "{title} {foo}",
            "template format is invalid or contains unknown variables",
        ),
        ("cluster-announce-hostname", "a b", "Hostnames may only contain alphanumeric characters, hyphens or dots"),
        ("cluster-announce-hostname", "x" * 256, "Hostnames must be less than 256 characters"),
        ("locale-collate", "xx", "Invalid locale name"),
        ("bind", " ".join(["127.0.0.1"] * 17), "Too many bind addresses specified."),
        ("databases", "3", "can't set immutable config"),
        ("dir", "/tmp", "can't set protected config"),
        ("dbfilename", "x", "can't set protected config"),
    ],
)
def test_refusals_have_redis_s_words_and_change_nothing(config, name, given, reason):
    before = config.get([b"*"])
    assert change(config, name, given) == refusal(name, reason)
    assert config.get([b"*"]) == before


def test_an_unknown_name_is_refused_in_one_line(config):
    assert (
        change(config, "fo\no", "1") == "ERR Unknown option or number of arguments for CONFIG SET - 'fo o'"
    )


def test_the_first_error_of_the_names_wins(config):
    assert change(config, "databases", "2", "foo", "1") == refusal("databases", "can't set immutable config")
    assert change(config, "foo", "1", "databases", "2").endswith("'foo'")


def test_a_name_given_twice_is_refused_in_any_case(config):
    assert change(config, "MAXMEMORY", "1", "maxmemory", "2") == refusal("maxmemory", "duplicate parameter")


def test_an_old_name_beside_the_new_one_is_no_duplicate(config):
    assert change(config, "slave-priority", "1", "replica-priority", "2") == "OK"
    assert config.replica_priority == 2


def test_one_bad_value_undoes_the_good_ones(config):
    assert change(config, "maxmemory", "1gb", "save", "", "timeout", "x") == refusal("timeout", INTEGER)
    assert (config.maxmemory, len(config.save)) == (0, 3)


def test_a_hook_hears_of_changed_values_once(config):
    heard = []

    def apply(changed):
        heard.append((changed.maxmemory, changed.timeout))

    config.on_change("maxmemory", apply)
    config.on_change("timeout", apply)
    change(config, "maxmemory", "5", "timeout", "6")
    change(config, "maxmemory", "5")
    assert heard == [(5, 6)]


def test_a_hook_that_refuses_puts_everything_back(config):
    applied = []

    def memory(changed):
        applied.append(changed.maxmemory)

    def port(changed):
        applied.append(changed.port)
        return "Unable to listen on this port. Check server logs." if changed.port == 7 else None

    config.on_change("maxmemory", memory)
    config.on_change("port", port)
    answer = change(config, "maxmemory", "5", "port", "7", "timeout", "3")
    assert answer == refusal("port", "Unable to listen on this port. Check server logs.")
    assert (config.maxmemory, config.port, config.timeout) == (0, 6379, 0)
    assert applied == [5, 7, 0, 6379]


def test_a_mirror_follows_the_values(config):
    class Limits:
        hash_max_listpack_entries = 0

    config.mirror(Limits, ["hash_max_listpack_entries"])
    assert Limits.hash_max_listpack_entries == 512
    change(config, "hash-max-ziplist-entries", "3")
    assert Limits.hash_max_listpack_entries == 3
    change(config, "hash-max-listpack-entries", "9", "timeout", "x")
    assert Limits.hash_max_listpack_entries == 3


def test_protected_directives_open_as_enable_protected_configs_says(config, anywhere):
    config.enable_protected_configs = "local"
    with pytest.raises(CommandError):
        config.set([(b"dbfilename", b"x.rdb")])
    config.set([(b"dbfilename", b"x.rdb")], from_loopback=True)
    assert config.dbfilename == b"x.rdb"
    config.enable_protected_configs = "yes"
    assert change(config, "dbfilename", "a/b") == refusal("dbfilename", "dbfilename can't be a path, just a filename")


def test_dir_moves_the_process_and_comes_back_when_refused(anywhere, config):
    config.enable_protected_configs = "yes"
    os.mkdir("inner")
    assert change(config, "dir", "inner", "timeout", "x") == refusal("timeout", INTEGER)
    assert os.getcwd() == str(anywhere)
    assert change(config, "dir", "nowhere") == refusal("dir", "No such file or directory")
    assert change(config, "dir", "inner") == "OK"
    assert shown(config, "dir") == str(anywhere / "inner")


def test_while_loading_some_directives_answer_loading(config):
    with pytest.raises(CommandError) as refused:
        config.set([(b"appendonly", b"yes")], loading=True)
    assert refused.value.text.startswith(b"LOADING ")
    config.set([(b"maxmemory", b"1")], loading=True)


def test_event_classes_are_bits(config):
    change(config, "notify-keyspace-events", "KEA")
    assert config.notify_keyspace_events == NOTIFY_KEYSPACE | NOTIFY_KEYEVENT | NOTIFY_ALL
