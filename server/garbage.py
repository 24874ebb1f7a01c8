"""The interpreter's collector of cyclic garbage, kept from walking over the data set.

A full collection looks at every container there is: at a million hashes that is a fifth of a second, each time the data
set has grown by a quarter. But nothing here makes circles that live for long (a connection that ends unties its own),
so what has survived one collection is given no second look: each then covers what was made since the last one, some
hundreds of objects or 0.15 ms, whatever the size of the data set and however many clients come and go. Making a million
containers takes half the time.
"""

from __future__ import annotations

import gc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

CAN_FREEZE = hasattr(gc, "freeze")  # PyPy's collector works in small steps anyway


def keep_survivors() -> None:
    """From now on look once at what is made. For a process that is a server and nothing else."""
    if CAN_FREEZE and freeze_survivors not in gc.callbacks:
        gc.callbacks.append(freeze_survivors)
        gc.freeze()


def freeze_survivors(phase: str, about: Mapping[str, Any]) -> None:
    """Called by the collector before and after each collection."""
    if phase == "stop":
        gc.freeze()


def collect_all() -> None:
    """A full collection of everything, which takes 0.2 us for each object."""
    if CAN_FREEZE:
        gc.unfreeze()
    gc.collect()


def rest() -> None:
    """Collect nothing until `go_on`: what is made meanwhile is known to be no garbage, and a lot."""
    gc.disable()


def go_on() -> None:
    """What there is now is looked at no more."""
    if CAN_FREEZE:
        gc.freeze()
    gc.enable()
