"""The keyspace: values and their types, deadlines, number grammar, snapshot and log formats.

Imports the standard library only. Knows no sockets, no RESP, no command names.
"""
