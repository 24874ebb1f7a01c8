"""An application for a celery worker: every tenth job fails twice before it succeeds."""

import os

from celery import Celery

URL = os.environ["REDIS_URL"]
app = Celery("jobs", broker=URL, backend=URL)
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=4, broker_connection_retry_on_startup=True)


@app.task(bind=True, max_retries=3, name="jobs.square")
def square(self, number):
    if number % 10 == 0 and self.request.retries < 2:
        raise self.retry(countdown=0.05)
    return number * number
