"""Every declaration against what a real server says of the same command.

A real 7.4 has to agree with every fact: COMMAND INFO in whole, COMMAND DOCS without its prose (summaries,
history sentences, the words of a complexity). Of an older server the facts are compared that it has in the
same form, and what changed since is listed here by name. Argument trees were renamed throughout in 7.2, so of
them the tokens are compared, which are the grammar itself.
"""

from __future__ import annotations

import re

import pytest

from protocol.encoder import RESP2, RESP3
from server.commands import all_groups, introspection
from server.registry import Registry
from storage.errors import CommandError
from tests.harness.wire import parse, plain

PROSE = {b"summary", b"replaced_by", b"notes"}
INFO_FIELDS = ("name", "arity", "flags", "first", "last", "step", "categories", "tips", "keys")

# Facts of COMMAND INFO that 7.4 (or 7.2) changed, by command.
CHANGED_SINCE_7_0 = {
    # Blocking commands may run in scripts, where they answer at once.
    **{
        name: {"flags"}
        for name in ("blmove", "blmpop", "blpop", "brpop", "brpoplpush", "bzmpop", "bzpopmax", "bzpopmin")
    },
    "xread": {"flags"},
    "xreadgroup": {"flags"},
    "wait": {"flags", "categories"},
    # WITHSCORE.
    "zrank": {"arity"},
    "zrevrank": {"arity"},
    # GETKEYS PING is now refused for the right reason.
    "command|getkeys": {"arity"},
    "command|getkeysandflags": {"arity"},
    # Hints for cluster clients.
    "acl|deluser": {"tips"},
    "acl|save": {"tips"},
    "acl|setuser": {"tips"},
    "client|setname": {"tips"},
    "config|rewrite": {"tips"},
    "config|set": {"tips"},
    "config|resetstat": {"tips"},
    "latency|reset": {"tips"},
    "msetnx": {"tips"},
    "randomkey": {"tips"},
    "scan": {"tips"},
    # The destination is overwritten, not updated.
    "sinterstore": {"keys"},
    # Answered while loading.
    "cluster|shards": {"flags"},
    "cluster|slots": {"flags"},
}
DOCS_CHANGED_SINCE_7_0 = {
    "client|pause": {"since"},
    "psetex": {"doc_flags", "deprecated_since", "replaced_by"},
    "quit": {"doc_flags", "deprecated_since", "replaced_by"},
    "setex": {"doc_flags", "deprecated_since", "replaced_by"},
    "setnx": {"doc_flags", "deprecated_since", "replaced_by"},
    "xread": {"complexity"},
    "bitop": {"tokens"},
    "client|kill": {"tokens"},
    "hscan": {"tokens"},
    "xautoclaim": {"tokens"},
    "zrank": {"tokens"},
    "zrevrank": {"tokens"},
}


class Context:
    """As much of a session as COMMAND looks at."""

    def __init__(self) -> None:
        self.registry = Registry.of(all_groups())


CONTEXT = Context()
COMMANDS = [spec.name.decode() for spec in CONTEXT.registry]


def own(handler, *argv, table=RESP3):
    """Run a handler of COMMAND and read its reply back from the wire's bytes."""
    reply = handler(CONTEXT, [arg.encode() for arg in argv])
    return parse(table[type(reply)](reply))


def is_exact(server) -> bool:
    """Whether the real server is of the version that this one follows."""
    with server.wire() as wire:
        version = re.search(rb"redis_version:(\d+)\.(\d+)", wire.ask("INFO", "server"))
    return tuple(map(int, version.groups())) >= (7, 4)


@pytest.fixture
def exact(real_server):
    return is_exact(real_server)


@pytest.fixture
def real(real_server):
    with real_server.wire(protocol=3) as wire:
        yield wire


def unordered(tree):
    """A tree with its sets sorted, prose reduced to its presence, and the order of map keys kept."""
    kind, content = tree
    if kind == b"~":
        return kind, sorted((unordered(item) for item in content), key=repr)
    if kind == b"*" and content is not None:
        return kind, [unordered(item) for item in content]
    if kind == b"%":
        return kind, [(key[1], fact_of(key[1], value)) for key, value in content]
    return tree


def fact_of(field, value):
    if field in PROSE:
        assert value[1]
        return "prose"
    if field == b"complexity":
        return re.findall(rb"O\(", value[1])[:1]
    if field == b"history":
        return value[0], sorted(entry[1][0][1] for entry in value[1])
    if field == b"subcommands":
        return {key[1]: unordered(docs) for key, docs in value[1]}
    return unordered(value)


def infos_of(tree):
    """COMMAND INFO of one command as {name: {field: fact}}, subcommands beside it."""
    fields = tree[1]
    name = fields[0][1].decode()
    found = {name: dict(zip(INFO_FIELDS, map(unordered, fields)))}
    for subcommand in fields[9][1]:
        found.update(infos_of(subcommand))
    return found


def docs_of(name, tree):
    """COMMAND DOCS of one command as {name: {field: fact}}, subcommands beside it, arguments as tokens."""
    fields = {key[1].decode(): value for key, value in tree[1]}
    subcommands = fields.pop("subcommands", (b"%", []))[1]
    tokens = sorted(tokens_in(fields.pop("arguments", (b"*", []))))
    facts = {field: fact_of(field.encode(), value) for field, value in fields.items() if field != "history"}
    facts["tokens"] = tokens
    found = {name: facts}
    for key, docs in subcommands:
        found.update(docs_of(key[1].decode(), docs))
    return found


def tokens_in(arguments):
    for argument in arguments[1]:
        fields = {key[1]: value for key, value in argument[1]}
        if b"token" in fields:
            yield fields[b"token"][1]
        if b"arguments" in fields:
            yield from tokens_in(fields[b"arguments"])


def differing(mine, theirs, changed):
    """Fields of commands known to both sides that differ without being listed as changed."""
    return [
        (name, field, theirs[name].get(field), mine[name].get(field))
        for name in mine
        if name in theirs
        for field in sorted(mine[name].keys() | theirs[name].keys())
        if mine[name].get(field) != theirs[name].get(field) and field not in changed.get(name, ())
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_info_agrees_with_a_real_server(name, real, exact):
    (theirs,) = real.command("COMMAND", "INFO", name)[1]
    if theirs[1] is None:
        assert not exact, f"a real 7.4 has no {name}"
        pytest.skip("newer than this real server")
    (mine,) = own(introspection.command_info, "command", "info", name)[1]
    mine, theirs = infos_of(mine), infos_of(theirs)
    if exact:
        assert mine.keys() == theirs.keys()
    assert differing(mine, theirs, {} if exact else CHANGED_SINCE_7_0) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_docs_agree_with_a_real_server(name, real, exact):
    theirs = real.command("COMMAND", "DOCS", name)
    if not theirs[1]:
        assert not exact, f"a real 7.4 has no {name}"
        pytest.skip("newer than this real server")
    mine = own(introspection.command_docs, "command", "docs", name)
    if exact:
        assert unordered(mine) == unordered(theirs)
        return
    mine, theirs = docs_of(name, mine[1][0][1]), docs_of(name, theirs[1][0][1])
    assert differing(mine, theirs, DOCS_CHANGED_SINCE_7_0) == []


KEYS_IN = """
get k; set k v; set k v get; set k v px 5 GeT; mset a 1 b 2; mset a 1 b; mget a b; del a b c; getex k persist
bitfield k get u8 0; bitfield k set u8 0 1; bitfield k nonsense; bitfield k overflow wrap get u8 0
sort k; sort k by w_* get x store d; sort k store a store b; sort k limit 0 store; sort_ro k by x
eval s 0; eval s 2 a b c; eval s 3 a b; eval s -1 a; eval_ro s 1 a; fcall f 1 k; evalsha x 1 k
zunionstore d 2 a b; zunionstore d 0 a; zunionstore d 3 a b; zinter 2 a b; zdiffstore d 1 a; zintercard 1 a
lmpop 2 a b left; blmpop 0 2 a b left; zmpop 1 a min; bzmpop 0 1 a max; lmpop 5 a left; sintercard 2 a b
georadius k 0 0 1 m; georadius k 0 0 1 m store d; georadius k 0 0 1 m store a storedist b
georadiusbymember k m 1 km storedist d; georadius_ro k 0 0 1 m; geosearchstore d s frommember m byradius 1 m
migrate h 1 k 0 5; migrate h 1 k 0 5 copy auth p; migrate h 1 k 0 5 keys a
xread streams a b 0 0; xread count 1 streams a 0; xread streams a b 0; xread nonsense streams a 0
xreadgroup group g c streams a 0; xadd k * f v; xinfo stream k; xinfo help; xgroup create k g 0; xgroup
nosuch k blpop a b 0; brpoplpush a b 0; rename a b; copy a b; bitop and d a b; pfcount a b; pfmerge d a b;
sunionstore d a object encoding k; object freq; object help; memory usage k; memory usage k samples 5; object
spublish c m; ssubscribe c; publish c m; ping; echo a; command; command count; nosuch; nosuch a b; config get
a restore k 0 v; touch a b; hset k f v; zadd k 1 m; lcs a b; watch a b; subscribe a; migrate
"""


@pytest.mark.parametrize("line", [line.strip() for line in re.split("[;\n]", KEYS_IN) if line.strip()])
@pytest.mark.parametrize("subcommand", ["getkeys", "getkeysandflags"])
def test_keys_in_a_vector_agree_with_a_real_server(subcommand, line, real, exact):
    words = line.split()
    if len(words) == 1 and not exact:
        pytest.skip("7.0 refuses a single word by arity")
    if CONTEXT.registry.lookup(words[0].encode()) is None and words[0] != "nosuch":
        pytest.skip("not a command of this server yet")
    theirs = real.command("COMMAND", subcommand, *words)
    try:
        mine = own(getattr(introspection, f"command_{subcommand}"), "command", subcommand, *words)
    except CommandError as refusal:
        mine = (b"-", refusal.text)
    assert unordered(mine) == unordered(theirs)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "filterby pattern xr*",
        "filterby pattern XR*",
        "filterby pattern config|*",
        "FilterBy Module nosuch",
        "filterby aclcat nosuch",
        "filterby aclcat @hash",
        "filterby x y",
        "filterby pattern",
        "filterby pattern a b",
        "nonsense",
        *(f"filterby aclcat {category}" for category in ("Hash", "geo", "bitmap", "hyperloglog", "transaction")),
    ],
)
def test_list_agrees_with_a_real_server_on_the_commands_of_both(line, real):
    theirs = real.command("COMMAND", "LIST", *line.split())
    try:
        mine = own(introspection.command_list, "command", "list", *line.split())
    except CommandError as refusal:
        assert theirs == (b"-", refusal.text)
        return
    known = set(plain(own(introspection.command_list, "command", "list")))
    known_there = set(plain(real.command("COMMAND", "LIST")))
    mine, theirs = plain(mine), plain(theirs)
    assert len(mine) == len(set(mine))
    assert set(mine) & known_there == set(theirs) & known


@pytest.mark.parametrize("resp", [2, 3])
def test_names_nobody_knows_are_null_in_info_and_left_out_of_docs(resp, real_server):
    table = RESP2 if resp == 2 else RESP3
    with real_server.wire(protocol=resp) as real:
        words = ("info", "nosuch", "object|nosuch", "config|")
        assert own(introspection.command_info, "command", *words, table=table) == real.command("COMMAND", *words)
        words = ("docs", "nosuch", "object|nosuch")
        assert own(introspection.command_docs, "command", *words, table=table) == real.command("COMMAND", *words)


@pytest.mark.parametrize("resp", [2, 3])
def test_info_has_the_shape_of_a_real_server(resp, real_server):
    """In RESP3 even the subcommands of a command without any are an empty set, not an empty array."""
    with real_server.wire(protocol=resp) as real:
        theirs = real.command("COMMAND", "INFO", "get")
    mine = own(introspection.command_info, "command", "info", "get", table=RESP2 if resp == 2 else RESP3)

    def shape(tree):
        kind, content = tree
        return (kind, [shape(item) for item in content]) if kind in (b"*", b"~") else kind

    assert shape(mine) == shape(theirs)
