"""Programs that live on scripts: redis-py's lock and registered scripts, python-redis-lock, limits."""

import os
import threading

import redis_lock
from limits import parse, storage, strategies
from redis import Redis

THREADS, ROUNDS = 4, 20
url = os.environ["REDIS_URL"]
connection = Redis.from_url(url)

with connection.lock("lock", timeout=5) as lock:
    assert not connection.lock("lock", timeout=5, blocking=False).acquire()
    lock.extend(5)
    lock.reacquire()

counter = [0]


def work():
    own = Redis.from_url(url)
    for _ in range(ROUNDS):
        with own.lock("counter", timeout=5, sleep=0.001):
            counter[0] = counter[0] + 1


threads = [threading.Thread(target=work) for _ in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert counter[0] == THREADS * ROUNDS

script = connection.register_script("return {KEYS[1], ARGV[1], cjson.encode({1, 2})}")
assert script(keys=["a"], args=["b"]) == [b"a", b"b", b"[1,2]"]

store = storage.storage_from_string(url)
for strategy in (
    strategies.FixedWindowRateLimiter,
    strategies.MovingWindowRateLimiter,
    strategies.SlidingWindowCounterRateLimiter,
):
    limiter = strategy(store)
    item = parse("5/hour")
    assert [limiter.hit(item, strategy.__name__) for _ in range(7)] == [True] * 5 + [False] * 2
    assert not limiter.test(item, strategy.__name__)
    limiter.clear(item, strategy.__name__)

with redis_lock.Lock(connection, "name", expire=5):
    assert not redis_lock.Lock(connection, "name").acquire(blocking=False)
held = redis_lock.Lock(connection, "name", expire=2)
assert held.acquire()
held.extend(5)
held.release()
redis_lock.reset_all(connection)
print("locks and limits: passed")
