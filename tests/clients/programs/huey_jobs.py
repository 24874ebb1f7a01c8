"""Run huey's consumer with its scheduler: jobs, retries, delayed jobs and results."""

import os
import threading
import time

from huey import RedisHuey
from huey.consumer import Consumer

huey = RedisHuey("jobs", url=os.environ["REDIS_URL"])
attempts = {}


@huey.task(retries=2, retry_delay=0)
def square(number):
    attempts[number] = attempts.get(number, 0) + 1
    if number % 10 == 0 and attempts[number] == 1:
        raise ValueError(number)
    return number * number


consumer = Consumer(huey, workers=2, periodic=False, scheduler_interval=1, check_worker_health=False)
consumer.start()
results = [square(number) for number in range(100)]
delayed = square.schedule((7,), delay=1)
deadline = time.monotonic() + 60
values = {}
while len(values) < 100 and time.monotonic() < deadline:
    for number, result in enumerate(results):
        if number not in values:
            try:
                value = result.get()
            except Exception:
                result.reset()  # the first attempt's failure; the retry's result follows
                continue
            if value is not None:
                values[number] = value
    time.sleep(0.02)
assert values == {number: number * number for number in range(100)}, len(values)
assert delayed.get(blocking=True, timeout=20) == 49
threading.Thread(target=consumer.stop, kwargs={"graceful": True}).start()
print("huey: all results")
os._exit(0)
