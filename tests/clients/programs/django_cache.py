"""django-redis as Django's cache: values, deadlines, counters, many keys, patterns."""

import os

from django.conf import settings

settings.configure(
    CACHES={"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": os.environ["REDIS_URL"]}}
)
from django.core.cache import cache  # noqa: E402

cache.set("k", {"a": [1, 2]}, timeout=60)
assert cache.get("k") == {"a": [1, 2]}
assert 0 < cache.ttl("k") <= 60
assert cache.add("k", 1) is False and cache.add("new", 1) is True
assert cache.incr("new", 4) == 5
cache.set_many({"m1": 1, "m2": 2})
assert cache.get_many(["m1", "m2", "none"]) == {"m1": 1, "m2": 2}
assert sorted(cache.keys("m*")) == ["m1", "m2"]
assert cache.delete_pattern("m*") == 2
assert cache.touch("k", 100) and cache.persist("k") and cache.ttl("k") is None
cache.clear()
assert cache.get("k") is None
print("django: cached")
