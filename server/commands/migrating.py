"""MIGRATE: the grammar of the request; the transfer itself is `server.migration`."""

from __future__ import annotations

from protocol.reply import OK, Block, Status
from server.keyfinders import migrate_keys
from server.keyspecs import ACCESS, DELETE, INCOMPLETE, RW, keyword, one_key
from server.migration import MigrationRequest
from server.number_arguments import integer
from server.registry import WRITE, Group
from storage.errors import SYNTAX_ERROR, CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

    from server.session import Session

    Argv = Sequence[bytes]

generic = Group("generic")

DEFAULT_TIMEOUT_MS = 1000
KEYS_NEEDS_EMPTY = b"ERR When using MIGRATE KEYS option, the key argument must be set to the empty string"


def parse(argv: Argv) -> MigrationRequest:
    """The request. KEYS takes all words behind it."""
    copies = replaces = False
    credentials: tuple[bytes, ...] = ()
    keys: Sequence[bytes] = argv[3:4]
    at = 6
    while at < len(argv):
        word = argv[at].upper()
        left = len(argv) - at - 1
        if word == b"COPY":
            copies = True
        elif word == b"REPLACE":
            replaces = True
        elif word == b"AUTH" and left:
            credentials = (argv[at + 1],)
            at += 1
        elif word == b"AUTH2" and left >= 2:
            credentials = (argv[at + 1], argv[at + 2])
            at += 2
        elif word == b"KEYS":
            if argv[3]:
                raise CommandError(KEYS_NEEDS_EMPTY)
            keys = argv[at + 1 :]
            break
        else:
            raise CommandError(SYNTAX_ERROR)
        at += 1
    timeout_ms = integer(argv[5])
    number = integer(argv[4])
    if timeout_ms <= 0:
        timeout_ms = DEFAULT_TIMEOUT_MS
    request = MigrationRequest(argv[1], argv[2], keys, number, timeout_ms / 1000.0)
    request.copies = copies
    request.replaces = replaces
    request.credentials = credentials
    return request


@generic.command(
    "MIGRATE",
    arity=-6,
    flags=WRITE,
    keys=(
        one_key(RW | ACCESS | DELETE, at=3),
        keyword(RW | ACCESS | DELETE | INCOMPLETE, b'KEYS', start=-2, last=-1),
    ),
    keys_by=migrate_keys,
    since="2.6.0",
    complexity="As DUMP and DEL here and RESTORE there, and O(N) for the transfer",
    history=(("3.0.0", "COPY and REPLACE."), ("3.0.6", "KEYS."), ("4.0.7", "AUTH."), ("6.0.0", "AUTH2.")),
    tips=("nondeterministic_output",),
    syntax=(
        "host port key-selector=(key | '') destination-db timeout:integer [COPY@3.0.0] [REPLACE@3.0.0] "
        "authentication=[AUTH auth{password}@4.0.7 | AUTH2 (username password)@6.0.0] [KEYS "
        "keys{key}@3.0.6...]"
    ),
    acl=("dangerous",),
)
def migrate(ctx: Session, argv: Argv) -> Any:
    """Move keys to another server, or copy them."""
    request = parse(argv)
    if all(ctx.db.read(key) is None for key in request.keys):
        return Status(b"NOKEY")
    migration = ctx.server.migration
    if ctx.denies_blocking or ctx.server.dispatch.depth:
        refusal = migration.run_now(ctx, request)
        if refusal:
            raise CommandError(refusal)
        return OK
    block = Block((), 0, on_timeout=OK, kind=Block)
    migration.begin(ctx, request, block)
    return block
