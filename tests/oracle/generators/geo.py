"""Geography on sorted sets."""

from __future__ import annotations

from tests.oracle.grammar import templates

OWN = b"g"
TEMPLATES = templates("""
    5 GEOADD key (lonlat place)*
    1 GEOADD key [NX|XX] [CH] (lonlat place)*
    0.2 GEOADD key (NX XX lonlat place|lonlat|lonlat place junk|junk)
    2 GEOPOS key [place]*
    2 GEOHASH key [place]*
    2 GEODIST key place place [unit]
    3 GEOSEARCH key (FROMMEMBER place|FROMLONLAT lonlat) (BYRADIUS distance unit|BYBOX distance distance unit) (ASC|DESC) [COUNT pos [ANY]] [WITHDIST] [WITHHASH] [WITHCOORD]
    1 GEOSEARCH key (FROMMEMBER place|FROMLONLAT lonlat) BYRADIUS distance unit
    0.5 GEOSEARCH key (FROMMEMBER place BYRADIUS 1|BYRADIUS 1 km|FROMMEMBER place FROMLONLAT lonlat BYRADIUS 1 km|junk|FROMMEMBER place BYRADIUS 1 km BYBOX 1 1 km|FROMMEMBER place BYRADIUS 1 km ANY|FROMMEMBER place BYRADIUS 1 km COUNT 0|FROMMEMBER place BYRADIUS 1 km STOREDIST)
    2 GEOSEARCHSTORE key key (FROMMEMBER place|FROMLONLAT lonlat) (BYRADIUS distance unit|BYBOX distance distance unit) [ASC|DESC] [STOREDIST]
    0.2 GEOSEARCHSTORE key key FROMMEMBER place BYRADIUS 1 km (WITHDIST|WITHCOORD|WITHHASH|junk)
    1 GEORADIUS key lonlat distance unit (ASC|DESC) [COUNT pos] [WITHDIST] [WITHHASH] [WITHCOORD]
    1 GEORADIUS key lonlat distance unit (STORE|STOREDIST) key
    1 GEORADIUS_RO key lonlat distance unit (ASC|DESC) [WITHDIST]
    1 GEORADIUSBYMEMBER key place distance unit (ASC|DESC) [COUNT pos] [WITHDIST] [WITHHASH] [WITHCOORD]
    0.5 GEORADIUSBYMEMBER_RO key place distance unit (ASC|DESC)
    0.3 GEORADIUS key lonlat distance unit (STORE key WITHDIST|COUNT|COUNT 0|COUNT -1|ANY|junk|STORE)
    0.2 GEORADIUS_RO key lonlat distance unit STORE key
    1 ZRANGE key 0 -1 WITHSCORES
    0.5 ZREM key place
    0.2 DEL key
""")
