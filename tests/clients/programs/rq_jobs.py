"""Queue jobs for an rq worker, with retries, and collect every result."""

import os
import time

from redis import Redis
from rq import Queue, Retry, SimpleWorker
from rq_tasks import square

JOBS = 500
connection = Redis.from_url(os.environ["REDIS_URL"])
queue = Queue(connection=connection)
jobs = [queue.enqueue(square, number, retry=Retry(max=2)) for number in range(JOBS)]
SimpleWorker([queue], connection=connection).work(burst=True, logging_level="ERROR")
deadline = time.monotonic() + 60
while any(not job.is_finished for job in jobs[-1:]) and time.monotonic() < deadline:
    SimpleWorker([queue], connection=connection).work(burst=True, logging_level="ERROR")
assert [job.return_value(refresh=True) for job in jobs] == [number * number for number in range(JOBS)]
print("rq: all results")
