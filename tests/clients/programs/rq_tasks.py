"""What an rq worker runs: the first attempt at every tenth job fails."""

import os

from redis import Redis


def square(number):
    if number % 10 == 0 and Redis.from_url(os.environ["REDIS_URL"]).incr("attempt:%d" % number) == 1:
        raise ValueError(number)
    return number * number
