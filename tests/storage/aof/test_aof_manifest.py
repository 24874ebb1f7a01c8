from __future__ import annotations

import pytest

from storage.aof.manifest import BadManifest, LogFile, Manifest, quote_word
from storage.text import split_arguments

USUAL = b"""file appendonly.aof.2.base.rdb seq 2 type b
file appendonly.aof.1.incr.aof seq 1 type h
file appendonly.aof.4.incr.aof seq 4 type i
file appendonly.aof.5.incr.aof seq 5 type i
"""


def test_a_manifest_is_written_as_it_was_read():
    manifest = Manifest.parse(USUAL)
    assert manifest.format() == USUAL
    assert [part.name for part in manifest.parts()] == [
        b"appendonly.aof.2.base.rdb",
        b"appendonly.aof.4.incr.aof",
        b"appendonly.aof.5.incr.aof",
    ]
    assert (manifest.base_sequence, manifest.increment_sequence) == (2, 5)


@pytest.mark.parametrize(
    "text",
    [
        b"file a seq 1 type i\n",
        b"# a comment\nfile a seq 1 type i\n",
        b"FILE a SEQ 1 Type i\n",
        b"type incremental seq 1x file a\n",
        b'  file "a" seq \'1\' type i  \r\n',
        b"file a seq 1 type i unknown words\n",
        b"file a seq 1 type i" + b" " * 1004 + b"\n",
    ],
)
def test_what_redis_reads_leniently_is_read_too(text):
    # Each of these lines was loaded by a 7.4 server.
    assert list(Manifest.parse(text).parts()) == [LogFile(b"a", 1, b"i")]


@pytest.mark.parametrize(
    ("text", "reason", "number"),
    [
        (b"", "Found an empty AOF manifest", 0),
        (b"file a seq 1 type i", "The AOF manifest file contains too long line", 0),
        (b"file a seq 1 type i" + b" " * 1005 + b"\n", "The AOF manifest file contains too long line", 0),
        (b"\n", "Invalid AOF manifest file format", 1),
        (b"file a seq 1 type\n", "Invalid AOF manifest file format", 1),
        (b"seq 1 type i\n", "Invalid AOF manifest file format", 1),
        (b"file a seq 0 type i\n", "Invalid AOF manifest file format", 1),
        (b"file a seq x type i\n", "Invalid AOF manifest file format", 1),
        (b'file "a seq 1 type i\n', "Invalid AOF manifest file format", 1),
        (b"#\nfile ../a seq 1 type i\n", "File can't be a path, just a filename", 2),
        (b"file a\\b seq 1 type i\n", "File can't be a path, just a filename", 1),
        (b"file a seq 1 type b\nfile b seq 2 type b\n", "Found duplicate base file information", 2),
        (b"file a seq 2 type i\nfile b seq 2 type i\n", "Found a non-monotonic sequence number", 2),
        (b"file a seq 1 type x\n", "Unknown AOF file type", 1),
    ],
)
def test_a_manifest_is_refused_with_redis_reason_and_the_line(text, reason, number):
    with pytest.raises(BadManifest) as caught:
        Manifest.parse(text)
    assert caught.value.reason == reason
    assert caught.value.number == number
    if number:
        assert caught.value.line == text.split(b"\n")[number - 1].strip()


def test_a_manifest_of_comments_names_nothing():
    assert list(Manifest.parse(b"# nothing yet\n").parts()) == []


def test_a_rewrite_makes_a_new_base_and_history_of_the_rest():
    manifest = Manifest()
    assert manifest.replace_base(b"log", True).name == b"log.1.base.rdb"
    assert manifest.add_increment(b"log").name == b"log.1.incr.aof"
    manifest.add_increment(b"log")
    before = manifest.copy()
    assert manifest.replace_base(b"log", False).name == b"log.2.base.aof"
    assert [part.name for part in manifest.parts()] == [b"log.2.base.aof", b"log.2.incr.aof"]
    assert [part.name for part in before.parts()] == [b"log.1.base.rdb", b"log.1.incr.aof", b"log.2.incr.aof"]
    assert Manifest.parse(manifest.format()).format() == manifest.format()
    assert [part.name for part in manifest.take_history()] == [b"log.1.incr.aof", b"log.1.base.rdb"]
    assert manifest.format() == b"file log.2.base.aof seq 2 type b\nfile log.2.incr.aof seq 2 type i\n"


def test_a_single_file_of_an_older_server_becomes_the_base():
    manifest = Manifest()
    manifest.adopt(b"appendonly.aof")
    assert manifest.format() == b"file appendonly.aof seq 1 type b\n"
    assert manifest.replace_base(b"appendonly.aof", True).name == b"appendonly.aof.2.base.rdb"


@pytest.mark.parametrize("name", [b"plain", b"with space", b'quo"te', b"back\\slash", b"\xff\n\t\x01", b"it's", b""])
def test_a_name_is_read_back_as_it_was_quoted(name):
    assert split_arguments(quote_word(name) + b" next") == [name, b"next"]


@pytest.mark.parametrize("line", [b'"open', b"'open", b'"a"b', b"'a'b"])
def test_quotes_that_do_not_match_make_no_manifest(line):
    with pytest.raises(BadManifest, match="Invalid AOF manifest file format"):
        Manifest.parse(b"file a seq 1 type b " + line + b" x\n")


def test_a_sequence_number_beyond_64_bits_is_the_greatest():
    manifest = Manifest.parse(b"file a seq 99999999999999999999 type i\n")
    assert [part.sequence for part in manifest.parts()] == [(1 << 63) - 1]
