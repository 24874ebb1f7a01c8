"""Bitmaps and bit fields."""

from __future__ import annotations

from tests.oracle.grammar import templates

OWN = b"b"
TEMPLATES = templates("""
    2 SET key value
    3 SETBIT key bitplace bit
    2 GETBIT key bitplace
    2 BITCOUNT key [index index [BYTE|BIT|byte]]
    0.3 BITCOUNT key (index|index index junk|index index BIT junk)
    2 BITPOS key bit [index [index [BYTE|BIT]]]
    0.2 BITPOS key bit (junk|index index junk)
    2 BITOP (AND|OR|XOR) key key*
    1 BITOP NOT key key
    0.2 BITOP (NOT key key key|junk key key|AND key)
    3 BITFIELD key (GET bittype bitoffset|SET bittype bitoffset int|INCRBY bittype bitoffset int)*
    2 BITFIELD key OVERFLOW (WRAP|SAT|FAIL|wrap) (SET bittype bitoffset int|INCRBY bittype bitoffset int)*
    1 BITFIELD_RO key (GET bittype bitoffset)*
    0.3 BITFIELD key (OVERFLOW junk|GET u8|GET|SET u8 0|junk u8 0|INCRBY u8 0 junk|OVERFLOW)
    0.2 BITFIELD_RO key (SET u8 0 1|OVERFLOW SAT GET u8 0|INCRBY u8 0 1)
    1 GET key
    1 STRLEN key
    1 APPEND key value
    1 SETRANGE key offset value
    0.3 DEL key
""")
