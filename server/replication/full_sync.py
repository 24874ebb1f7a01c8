"""Full synchronisation: one snapshot by a forked child for all replicas that wait at that moment.

Either straight to the replicas (the child writes to a pipe, the parent hands each piece to all of them, at the pace of
the slowest) or by a file, which each then reads at its own pace: without fork, one without a name stands for the pipe.
Pieces are put into a session's output only while little waits there, so a replica that does not read costs no memory;
it is dropped after `repl-timeout`.

Nothing is forked in the middle of a turn: `consider` only notes that there may be something to do, `before_sleeping`
does it, when every change of the turn stands in the stream.
"""

from __future__ import annotations

import os
import sys
from time import monotonic

from server.children import SYNCHRONISATION
from server.replication.replica import CAN_EOF, ONLINE, RECEIVES, WAITS_END, WAITS_START
from server.replication.shared_file import Reader, SharedFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional

    from server.replication.primary import Primary
    from server.replication.replica import Replica
    from server.replication.snapshot import Facts
    from server.timers import Timer

PIECE_BYTES = 64 * 1024
ROOM_BYTES = 256 * 1024  # a session with less output than that gets another piece
PIPE_BYTES = 1 << 20
F_SETPIPE_SZ = 1031  # Python has a name for it since 3.10
POLL_S = 0.005  # while a transfer waits for room; writability wakes the loop earlier as a rule
REMOVE_AGAIN_S = 0.1
MARK_BYTES = 20
SYNC_FAILED = b"-ERR BGSAVE failed, replication can't continue\r\n"


class FullSync:
    """At most one snapshot is being made; several replicas may be reading files of earlier ones."""

    def __init__(self, primary: Primary) -> None:
        self.primary = primary
        self.services = primary.services
        self.config = primary.config
        self.log = primary.log
        self.replicas = primary.replicas
        self.has_to_look = False
        self.timer: Optional[Timer] = None
        self.group: List[Replica] = []  # for whom the running child works
        self.is_to_sockets = False  # of the running child
        self.unnamed: Optional[SharedFile] = None  # where a snapshot is made that is not to be kept, without fork
        self.pipe = -1
        self.is_pipe_watched = False
        self.outcome: Optional[bool] = None  # of the child, when it has ended before the pipe was read to its end
        self.moved_s = monotonic()  # when a transfer last moved
        self.poll_s = 0.0  # when the loop will turn for a transfer; 0 if no timer waits

    # When to begin ---------------------------------------------------------------------------------------------

    def consider(self) -> None:
        """Look before the end of this turn whether a snapshot should begin."""
        self.has_to_look = True

    def explain(self, replica: Replica) -> None:
        """Say in the log what a replica that has just asked waits for."""
        children = self.services.children
        if not children.is_active():
            delay_s = self.config.repl_diskless_sync_delay
            if self.config.repl_diskless_sync and replica.capabilities & CAN_EOF and delay_s:
                self.log.notice("Delay next BGSAVE for diskless SYNC")
        elif not children.is_saving():
            self.log.notice("No BGSAVE in progress, but another BG operation is active. BGSAVE for replication delayed")
        elif self.is_to_sockets:
            self.log.notice("Current BGSAVE has socket target. Waiting for next BGSAVE for SYNC")
        elif not self.group:
            self.log.notice("Can't attach the replica to the current BGSAVE. Waiting for next BGSAVE for SYNC")

    def look_at(self, when_s: float) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.services.timers.at(when_s, self.consider)

    def before_sleeping(self) -> None:
        if self.has_to_look:
            self.has_to_look = False
            self.begin_if_due()
        if self.pipe >= 0 or any(replica.file is not None for replica in self.replicas.values()):
            self.move()

    def begin_if_due(self) -> None:
        """Begin a snapshot for the first who waits and all that want the same, where none is under way for them."""
        waiting = [replica for replica in self.replicas.values() if replica.state == WAITS_START]
        if not waiting:
            return
        first = waiting[0]
        group = [replica for replica in waiting if replica.filter == first.filter]
        if self.join_running(group):
            return
        if self.services.children.is_active() or self.pipe >= 0:
            return  # each_second looks again
        # A snapshot without the data exists for its asker alone and is no file to keep.
        is_diskless = (self.config.repl_diskless_sync or bool(first.filter)) and all(
            replica.capabilities & CAN_EOF for replica in group
        )
        if is_diskless:
            enough = self.config.repl_diskless_sync_max_replicas
            # Redis compares whole seconds of its clock: one that asked at 3.9 has waited for a second at 4.0. Whoever
            # gives a replica five seconds to be up under the default delay of five counts on it.
            begins_s = int(first.asked_s) + self.config.repl_diskless_sync_delay
            if begins_s > monotonic() and not (enough and len(group) >= enough):
                self.look_at(begins_s)
                return
        self.begin(group, is_diskless)

    def join_running(self, group: List[Replica]) -> bool:
        """Let replicas share the file that is being written for another one: the stream since then is still there."""
        if self.is_to_sockets or not self.group:
            return False
        for other in self.group:
            if other.state == WAITS_END and not other.wants_snapshot_only and other.session in self.replicas:
                for replica in group:
                    if replica.filter == other.filter:
                        self.announce(replica, other.start_offset)
                        self.group.append(replica)
                        self.log.notice("Waiting for end of BGSAVE for SYNC")
                return True
        return False

    # Beginning -------------------------------------------------------------------------------------------------

    def announce(self, replica: Replica, offset: int) -> None:
        """Tell a replica which history it gets, and from where on the stream will follow."""
        replica.state = WAITS_END
        replica.start_offset = offset
        if replica.has_psync:
            history = self.primary.history
            replica.session.send_encoded(b"+FULLRESYNC %b %d\r\n" % (history.id, offset))

    def begin(self, group: List[Replica], is_diskless: bool) -> None:
        """Fork the child. Everything that happened so far is in the snapshot, everything later in the stream."""
        replication = self.primary.replication
        self.primary.feed.flush()
        services = self.services
        to_sockets = is_diskless and sys.platform != "win32"
        self.log.notice("Starting BGSAVE for SYNC with target: %s" % ("replicas sockets" if to_sockets else "disk"))
        self.outcome = None
        self.is_to_sockets = to_sockets
        facts = replication.snapshot_facts()
        left_out = group[0].filter
        reader, mark = -1, b""
        if to_sockets:
            mark = os.urandom(MARK_BYTES).hex().encode()
            reader = self.begin_piped(facts, left_out, mark)
            began = reader >= 0
        elif is_diskless:
            began = self.begin_unnamed(facts, left_out)
        else:
            # A BGSAVE like any other: its file may serve this server, too.
            began = services.persistence.snapshots.begin(self.on_done)
        if not began:
            self.refuse(group)
            return
        self.group = group
        self.moved_s = monotonic()
        if not replication.is_replica:
            self.primary.feed.restart()  # the stream after the snapshot stands alone
        for replica in group:
            self.announce(replica, self.primary.history.offset)
        self.primary.settle_backlog()
        if to_sockets:
            for replica in group:
                replica.state = RECEIVES
                replica.session.send_encoded(b"$EOF:%b\r\n" % mark)
            self.pipe = reader
            self.watch_pipe(True)
            child = services.children.current
            if child is not None:
                self.log.notice("Background RDB transfer started by pid %d" % child.pid)

    def begin_piped(self, facts: Facts, left_out: int, mark: bytes) -> int:
        """Have a child write the snapshot into a pipe; returns where to read it, or -1, with the reason logged."""
        from server.replication.snapshot import write_to_pipe

        services = self.services
        if sys.platform == "win32":
            return -1
        try:
            reader, writer = os.pipe()
        except OSError as error:
            self.log.warning("Can't open the pipe for a snapshot to replicas: %s" % error.strerror)
            return -1
        os.set_blocking(reader, False)
        widen(reader)
        began = services.children.fork(
            SYNCHRONISATION,
            lambda progress: write_to_pipe(services, progress, facts, left_out, writer, mark),
            self.on_done,
            (writer,),
        )
        os.close(writer)
        if not began:
            os.close(reader)
            return -1
        return reader

    def begin_unnamed(self, facts: Facts, left_out: int) -> bool:
        """Without fork: write the snapshot into a file that is not to be kept. False, with the reason logged, if none
        can be had.
        """
        from server.replication.snapshot import write

        services = self.services
        try:
            self.unnamed = unnamed = SharedFile(self.config.dir)
        except OSError as error:
            self.log.warning("Can't open a temporary file for replicas: %s" % error.strerror)
            return False
        return services.children.fork(
            SYNCHRONISATION,
            lambda progress: write(services, unnamed.file, progress, facts, left_out),
            self.on_done,
        )

    def refuse(self, group: List[Replica]) -> None:
        self.log.warning("BGSAVE for replication failed")
        for replica in group:
            if replica.session in self.replicas:
                replica.session.send_encoded(SYNC_FAILED)
                replica.session.close_after_reply()

    # Moving ----------------------------------------------------------------------------------------------------

    def watch_pipe(self, on: bool) -> None:
        if on != self.is_pipe_watched:
            self.is_pipe_watched = on
            reactor = self.primary.replication.reactor
            reactor.watch(self.pipe, self.read_pipe) if on else reactor.unwatch(self.pipe)

    def receivers(self) -> List[Replica]:
        return [replica for replica in self.group if replica.session in self.replicas and replica.state == RECEIVES]

    def read_pipe(self) -> None:
        """Hand what the child wrote to all its replicas, if the slowest of them has room."""
        if self.pipe < 0:
            return  # ended by another event of this turn
        receivers = self.receivers()
        if any(replica.session.out_bytes >= ROOM_BYTES for replica in receivers):
            return
        try:
            data = os.read(self.pipe, ROOM_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.log.notice(
                "Diskless rdb transfer, done reading from pipe, %d replicas still up." % len(receivers)
            )
            self.watch_pipe(False)
            os.close(self.pipe)
            self.pipe = -1
            self.end_of_sockets()
            return
        self.moved_s = monotonic()
        for replica in receivers:
            replica.session.send_encoded(data)

    def move(self) -> None:
        """Top up the outputs that have room; come back soon while anything is left."""
        again_s = POLL_S
        if self.pipe >= 0:
            full = any(replica.session.out_bytes >= ROOM_BYTES for replica in self.receivers())
            self.watch_pipe(not full)
            wait = full
        else:
            wait = False
        for replica in list(self.replicas.values()):
            if replica.file is None:
                continue
            wait = True
            session = replica.session
            if session.out_bytes < ROOM_BYTES:
                again_s = 0.0
                while session.out_bytes < ROOM_BYTES:
                    data = replica.file.read(PIECE_BYTES)
                    if not data:
                        replica.file.close()
                        replica.file = None
                        self.finish_file(replica)
                        break
                    replica.acknowledged_s = monotonic()
                    session.send_encoded(data)
        if wait:
            when_s = monotonic() + again_s
            if not self.poll_s or self.poll_s > when_s:
                self.poll_s = when_s
                self.services.timers.at(when_s, self.end_poll)

    def end_poll(self) -> None:
        """A timer that only ends the loop's wait: `move` decides whether there is another one."""
        self.poll_s = 0.0

    # The end ---------------------------------------------------------------------------------------------------

    def on_done(self, succeeded: bool, signal_number: int) -> None:
        """The child has ended."""
        if self.is_to_sockets:
            self.outcome = succeeded
            if succeeded:
                self.log.notice("Background RDB transfer terminated with success")
            elif signal_number:
                self.log.warning("Background transfer terminated by signal %d" % signal_number)
            else:
                self.log.warning("Background transfer error")
            self.end_of_sockets()
            return
        group, self.group = self.group, []
        unnamed, self.unnamed = self.unnamed, None
        path = os.path.join(self.config.dir, self.config.dbfilename)
        for replica in group:
            if replica.session not in self.replicas:
                continue
            if not succeeded:
                self.log.warning("SYNC failed. BGSAVE child returned an error")
                replica.session.doom()
                continue
            try:
                replica.file = open(path, "rb") if unnamed is None else Reader(unnamed)
            except OSError as error:
                self.log.warning("SYNC failed. Can't open/stat DB after BGSAVE: %s" % error.strerror)
                replica.session.doom()
                continue
            replica.state = RECEIVES
            replica.acknowledged_s = monotonic()
            replica.session.send_encoded(b"$%d\r\n" % os.fstat(replica.file.fileno()).st_size)
        if unnamed is not None:
            unnamed.close_unread()
        elif succeeded and self.config.rdb_del_sync_files and not self.config.save and not self.config.appendonly:
            self.log.notice("Removing the RDB file used to feed replicas in a persistence-less instance")
            self.remove(path)
        self.consider()

    def remove(self, path: bytes) -> None:
        """Delete a snapshot; whoever reads it has it open."""
        try:
            os.unlink(path)
        except OSError:
            # Windows wants all readers to be done first.
            if any(replica.file is not None for replica in self.replicas.values()):
                self.services.timers.at(monotonic() + REMOVE_AGAIN_S, lambda: self.remove(path))

    def finish_file(self, replica: Replica) -> None:
        """The whole file stands in the output: the stream follows."""
        replica.state = ONLINE
        if self.end_if_snapshot_only(replica):
            return
        self.begin_stream(replica)
        self.primary.replication.on_replicas_changed()

    def begin_stream(self, replica: Replica) -> None:
        replica.release()
        self.primary.settle_backlog()
        self.log.notice("Synchronization with replica %s succeeded" % replica.name)

    def end_of_sockets(self) -> None:
        """Both the pipe and the child must have ended before anything is said of the outcome."""
        if self.outcome is None or self.pipe >= 0:
            return
        group = self.receivers()
        self.group = []
        self.is_to_sockets = False
        for replica in group:
            if not self.outcome:
                self.log.warning("SYNC failed. BGSAVE child returned an error")
                replica.session.doom()
                continue
            replica.state = ONLINE
            replica.acknowledged_s = monotonic()
            if self.end_if_snapshot_only(replica):
                continue
            # What follows the mark at once would be taken for a part of the snapshot.
            replica.waits_for_ack = True
            self.log.notice(
                "Streamed RDB transfer with replica %s succeeded (socket). Waiting for REPLCONF ACK from replica to "
                "enable streaming" % replica.name
            )
            if replica.is_ready:
                self.begin_stream(replica)
        self.primary.replication.on_replicas_changed()
        self.consider()

    def end_if_snapshot_only(self, replica: Replica) -> bool:
        if not replica.wants_snapshot_only:
            return False
        self.log.notice(
            "RDB transfer completed, rdb only replica (%s) should be disconnected asap" % replica.name
        )
        replica.session.close_after_reply()
        return True

    def on_lost(self) -> None:
        """A replica went away: without any left the child works for nobody."""
        if self.group and not any(replica.session in self.replicas for replica in self.group):
            if self.is_to_sockets:
                self.log.notice("Diskless rdb transfer, last replica dropped, killing fork child.")
                self.services.children.kill()
            elif not self.config.save:  # else the file is worth having all the same
                self.services.children.kill()
        self.consider()

    def each_second(self, now_s: float) -> None:
        """Drop who does not take the snapshot."""
        timeout_s = self.config.repl_timeout
        for replica in list(self.replicas.values()):
            if replica.state != RECEIVES:
                continue
            since_s = replica.acknowledged_s if replica.file is not None else self.moved_s
            blocks = replica.file is not None or replica.session.out_bytes >= ROOM_BYTES
            if blocks and now_s - since_s > timeout_s:
                self.log.warning("Disconnecting timedout replica (full sync): %s" % replica.name)
                replica.session.doom()
        self.consider()


def widen(reader: int) -> None:
    """A larger pipe means fewer turns; only Linux lets one ask for it."""
    if sys.platform == "linux":
        import fcntl

        try:
            fcntl.fcntl(reader, getattr(fcntl, "F_SETPIPE_SZ", F_SETPIPE_SZ), PIPE_BYTES)
        except OSError:
            pass
