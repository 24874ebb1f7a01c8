"""The conditions under which a command may be refused or diverted, as bits.

Server and session keep the bits that hold now in `mode`; each command's `trips` says which could concern it, computed
once from its flags. The hot path is `spec.trips & mode`; only non-zero enters the ordered checks of dispatch. This
module knows flags, not commands, so that the table below is the whole policy.
"""

from __future__ import annotations

# Conditions of the server.
LOADING_DATA = 1 << 0  # the data set is being read from disk or from the master
STALE_DATA = 1 << 1  # a replica without its master, told not to serve old data
READ_ONLY_REPLICA = 1 << 2
DISK_FAILED = 1 << 3  # the last save or log write failed: MISCONF
MEMORY_LIMITED = 1 << 4  # maxmemory is set
TOO_FEW_REPLICAS = 1 << 5
PAUSED_WRITES = 1 << 6
PAUSED_ALL = 1 << 7
MONITORED = 1 << 8
BUSY = 1 << 9  # a script runs on and on
CLIENTS_LIMITED = 1 << 23  # maxmemory-clients is set
LOADING_ASIDE = 1 << 22  # the data set is served while its successor is read beside it
NEEDS_INDEX = 1 << 24  # always: who walks over all keys may have to wait for their index
GUARDED = 1 << 21  # always: DEBUG and MODULE ask the configuration
# Conditions of one session.
NEEDS_AUTH = 1 << 10
RESTRICTED = 1 << 11  # an ACL rule might deny something
IN_MULTI = 1 << 12
SUBSCRIBED = 1 << 13  # RESP2 with subscriptions: few commands are left
TRACKING = 1 << 14  # keys it reads are remembered
NO_TOUCH = 1 << 15  # its reads leave no access stamps
IS_REPLICA = 1 << 16  # the link to a replica
IS_MASTER = 1 << 17  # the link to the master: nothing refuses it
CACHING = 1 << 18  # CLIENT CACHING was said: about the next command
DEBUGS = 1 << 19  # its next EVAL runs under the debugger
DEBUGS_IN_PLACE = 1 << 20  # and in this process, where what it changes stays

EVERY_COMMAND = MONITORED | RESTRICTED | IN_MULTI | SUBSCRIBED | PAUSED_ALL
EVERY_COMMAND |= IS_REPLICA | NO_TOUCH | CACHING | CLIENTS_LIMITED


def trips_of(flags: int) -> int:
    """The conditions that concern a command with these flags."""
    from server import registry as r

    trips = EVERY_COMMAND
    if not flags & r.NO_AUTH:
        trips |= NEEDS_AUTH
    if not flags & r.LOADING:
        trips |= LOADING_DATA
    if flags & r.NO_ASYNC_LOADING:
        trips |= LOADING_ASIDE
    if not flags & r.STALE:
        trips |= STALE_DATA
    if not flags & r.ALLOW_BUSY:
        trips |= BUSY
    if flags & r.DENYOOM:
        trips |= MEMORY_LIMITED
    if flags & r.WRITE:
        trips |= READ_ONLY_REPLICA | DISK_FAILED | TOO_FEW_REPLICAS | PAUSED_WRITES
    if flags & r.MAY_REPLICATE:
        trips |= PAUSED_WRITES
    if flags & r.READONLY:
        trips |= TRACKING
    if flags & r.WALKS:
        trips |= NEEDS_INDEX
    if flags & r.PROTECTED:
        trips |= GUARDED
    if flags & r.RUNS_SCRIPT:
        # Any of these may concern a script that declares flags: the gate asks which do.
        trips |= STALE_DATA | MEMORY_LIMITED | READ_ONLY_REPLICA | DISK_FAILED | TOO_FEW_REPLICAS | PAUSED_WRITES
    return trips
