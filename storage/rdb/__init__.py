"""Redis's snapshot format: reading every version up to 12, writing 10 to 12, and the payloads of DUMP and RESTORE.

Must not know sockets, files' names, the keyspace's rules or the schedule of saves: bytes go in and values come out,
and the reverse.
"""
