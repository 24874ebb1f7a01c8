"""Send jobs to a celery worker and collect every result."""

import os
import subprocess
import sys
from pathlib import Path

from celery_app import square

JOBS = 500
worker = subprocess.Popen(
    [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "-c", "1", "-P", "solo", "-l", "WARNING"],
    cwd=Path(__file__).parent,
    env=os.environ,
)
try:
    results = [square.delay(number) for number in range(JOBS)]
    values = [result.get(timeout=90) for result in results]
    assert values == [number * number for number in range(JOBS)]
finally:
    worker.terminate()
    worker.wait(30)
print("celery: all results")
