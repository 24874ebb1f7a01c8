"""The command handlers, one module a part of a group; `all_groups` collects their declarations.

A new module adds its name to MODULES; each Group among its globals is registered.
"""

from __future__ import annotations

from importlib import import_module

from server.registry import Group

MODULES = (
    "connection",
    "clients",
    "strings",
    "counters",
    "lists",
    "list_blocking",
    "hashes",
    "hash_expiry",
    "sets",
    "pubsub",
    "transactions",
    "scripting",
    "tracking",
    "observation",
    "acl",
    "replication",
    "streams",
    "stream_groups",
    "stream_reading",
    "bitmaps",
    "hyperloglog",
    "sorted_sets",
    "sorted_set_ranges",
    "sorted_set_pops",
    "sorted_set_algebra",
    "geo",
    "generic",
    "sorting",
    "expiry",
    "objects",
    "introspection",
    "config_commands",
    "persistence",
    "migrating",
    "administration",
    "memory",
    "debugging",
    "cluster",
)


def all_groups() -> list[Group]:
    """The declarations of every module of this package."""
    groups = []
    for name in MODULES:
        module = import_module("server.commands." + name)
        groups += [value for value in vars(module).values() if isinstance(value, Group)]
    return groups
