"""Making the index of many keys without holding up anybody but those who need it.

SCAN walks in the order of an index that is made when it is first needed; of a million keys that takes 0.3 s at once. So
the client that asks is put aside with its command, the index grows a little in each turn while everybody else is
served, and the command runs when it is whole: for the client, a slow first call. The same holds for HSCAN and SSCAN of
large hashes and sets. It does not count as blocked, and its later commands wait behind. Where a command cannot be put
aside (in a transaction, in a script, from the master) the index is made at once, that of few keys always.
"""

from __future__ import annotations

from server import garbage
from server.admission import LOADING_DATA
from server.registry import WALKS
from server.session import DOOMED, HELD
from storage.scan_index import GROWS_FROM
from storage.types.indexed import IndexedDict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Sequence, Tuple

    from server.reactor import Reactor
    from server.registry import CommandSpec
    from server.services import Services
    from server.session import Session

GROWING_NS = 500_000  # of each turn
GROWING_NS_WHILE_WAITING = 1_000_000  # if somebody waits for it


class IndexGrowth:
    """Grows indexes at the end of turns, and keeps who waits for them."""

    def __init__(self, services: Services, reactor: Reactor) -> None:
        self.services = services
        self.reactor = reactor
        self.waiting: Dict[Session, Tuple[CommandSpec, Sequence[bytes]]] = {}  # what they were about to run
        self.collector_rests = False
        services.dispatch.gate.await_index = self.await_index
        services.clients.on_forget.append(self.forget)
        reactor.before_sleep.append(self.before_sleeping)

    def await_index(self, session: Session, spec: CommandSpec, argv: Sequence[bytes]) -> bool:
        """Whether the session waits now, as its command would need an index that is still to be made."""
        if session.connection is None or not spec.flags & WALKS or self.has_index(session, spec, argv):
            return False
        session.halted |= HELD
        self.waiting[session] = spec, argv
        return True

    def has_index(self, session: Session, spec: CommandSpec, argv: Sequence[bytes]) -> bool:
        """Whether the command may run: what it walks over has its index, which is begun otherwise, or needs none."""
        entries = self.services.keyspace.entries
        if spec.keys:
            value = session.db.data.get(argv[1])
            # A small one may come whole, and will hardly be worth an index of its own.
            return not isinstance(value, IndexedDict) or len(value) < GROWS_FROM or value.begin_index(entries)
        return (spec.name == b"randomkey" and entries.can_jump) or session.db.begin_index()

    def before_sleeping(self) -> None:
        """Go on with what has been begun; who waited for it has its turn again."""
        if self.waiting and self.services.dispatch.mode & LOADING_DATA:
            return  # they came before, and walk over what will be there then
        if self.waiting:
            self.grow_tables()
        keyspace = self.services.keyspace
        if keyspace.grows_indexes:
            keyspace.grow_indexes(GROWING_NS_WHILE_WAITING if self.waiting else GROWING_NS)
        if self.waiting:
            self.resume()
        if keyspace.grows_indexes or self.waiting:
            self.reactor.has_more_to_do = True
            if not self.collector_rests:
                self.collector_rests = True  # walking over the pages takes it 10 ms each time
                garbage.rest()
        elif self.collector_rests:
            self.collector_rests = False
            garbage.go_on()

    def grow_tables(self) -> None:
        """Go on with the indexes of hashes and sets that somebody waits for."""
        tables = {}
        for session, (spec, argv) in self.waiting.items():
            if spec.keys:
                value = session.db.data.get(argv[1])
                if isinstance(value, IndexedDict):
                    tables[id(value)] = value
        for value in tables.values():
            value.grow_index(GROWING_NS_WHILE_WAITING // len(tables))

    def resume(self) -> None:
        """Let those go on whose index is there, or who need none any more: keys may be gone, databases exchanged."""
        for session, (spec, argv) in list(self.waiting.items()):
            if self.has_index(session, spec, argv):
                del self.waiting[session]
                session.halted &= ~HELD
                if not session.halted & DOOMED:
                    # It is judged again, as if it came only now.
                    session.pending = iter([argv, *(session.pending or ())])
                    self.services.resumed.append(session)

    def forget(self, session: Session) -> None:
        """The session is being closed."""
        self.waiting.pop(session, None)
