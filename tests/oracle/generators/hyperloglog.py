"""HyperLogLog, down to the bytes that GET shows."""

from __future__ import annotations

from tests.oracle.grammar import templates

OWN = b"p"
TEMPLATES = templates("""
    6 PFADD key [member]*
    4 PFADD key value*
    3 PFCOUNT key
    2 PFCOUNT key*
    2 PFMERGE key [key]*
    2 GET key
    1 STRLEN key
    0.3 PFDEBUG (ENCODING key|DECODE key|GETREG key|TODENSE key|junk key|ENCODING missing)
    0.3 SET key value
    0.2 DEL key
    0.2 APPEND key value
    0.2 COPY key key REPLACE
""")
