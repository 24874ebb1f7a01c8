"""RESP2 and RESP3: bytes to argument vectors, Python values to bytes.

Imports the standard library and `storage.numeric`. Knows no sockets and no keyspace.
"""
