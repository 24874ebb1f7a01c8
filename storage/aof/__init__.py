"""Redis's append only file: the manifest of its parts, its records, and commands that rebuild a keyspace.

Must not know files, descriptors, schedules or fsync: bytes and names go in and come out.
"""
