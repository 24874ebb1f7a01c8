"""Enough file descriptors for `maxclients`, or a `maxclients` that fits the descriptors there are.

Owns the process's limit of open files. Must not know clients.
"""

from __future__ import annotations

import selectors
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

    from server.config.configuration import Config
    from server.log import Log

RESERVED = 32  # as in Redis: listeners, files, the selector, a margin
STEP = 16  # as in Redis
SELECT_SOCKETS = 512  # what Python's select takes at once on Windows, which has nothing better


def fit_selector(config: Config, log: Log) -> None:
    """Lower `maxclients` to what `select` can wait for, where there is no other selector."""
    most = SELECT_SOCKETS - RESERVED
    if selectors.DefaultSelector is selectors.SelectSelector and config.maxclients > most:
        log.warning(
            "This platform's select waits for at most %d sockets: maxclients has been reduced from %d to %d."
            % (SELECT_SOCKETS, config.maxclients, most)
        )
        config.maxclients = most


def make_room(config: Config, log: Log) -> bool:
    """Raise the limit of open files as far as `maxclients` needs and the system allows; lower `maxclients` if it must.

    False if the limit is so low that nobody could be served.
    """
    fit_selector(config, log)
    if sys.platform == "win32":
        return True  # no such limit
    import resource

    needed = config.maxclients + RESERVED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return True
    reason = "Operation not permitted"
    reached = soft
    # Down in steps, since a system may have another limit behind its hard one, and macOS has.
    highest = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    for limit in (needed, *range(highest, soft, -STEP)):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit if 0 <= hard < limit else hard))
        except OSError as error:
            reason = error.strerror or str(error)
        except ValueError:
            pass  # the system's EPERM
        else:
            reached = limit
            break
    if reached >= needed:
        log.notice("Increased maximum number of open files to %d (it was originally set to %d)." % (needed, soft))
        return True
    if reached <= RESERVED:
        log.warning(
            "Your current 'ulimit -n' of %d is not enough for the server to start. "
            "Please increase your open file limit to at least %d. Exiting." % (soft, needed)
        )
        return False
    wanted, config.maxclients = config.maxclients, reached - RESERVED
    log.warning(
        "You requested maxclients of %d requiring at least %d max file descriptors." % (wanted, needed)
    )
    log.warning("Server can't set maximum open files to %d because of OS error: %s." % (needed, reason))
    log.warning(
        "Current maximum open files is %d. maxclients has been reduced to %d to compensate for low ulimit. "
        "If you need higher maxclients increase 'ulimit -n'." % (reached, config.maxclients)
    )
    return True


def follow_maxclients(config: Config, log: Log) -> None:
    """Refuse a CONFIG SET of more clients than the system lets a process have descriptors for."""

    def apply(changed: Any) -> Optional[str]:
        wanted = changed.maxclients
        if make_room(changed, log) and changed.maxclients == wanted:
            return None
        return (
            "The operating system is not able to handle the specified number of clients, try with %d"
            % changed.maxclients
        )

    config.on_change("maxclients", apply)
