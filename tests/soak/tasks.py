"""The tasks of the soak of queues. Some fail, some are killed while they hold their AppID."""

from __future__ import annotations

import os
import signal
import time

import redis
from appid_manager_client.integrations import _options
from appid_manager_client.integrations.celery import appid_options
from celery import Celery

from appid_manager_client import INJECTED, Lease
from tests.soak.plan import PRODUCT, fails, is_killed

_options.PATIENCE = 0.5  # the hours are short
app = Celery("soak", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
app.conf.update(broker_connection_retry_on_startup=True, worker_prefetch_multiplier=4)
notes = redis.Redis.from_url(os.environ["NOTES"])


class OnPurpose(Exception):
    """What a failing task raises."""


def _work(number: int, lease: Lease) -> str:
    runs = notes.incr(f"runs:{number}")
    time.sleep(0.02 * (number % 7))
    lease.check()
    if is_killed(number) and runs == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if fails(number):
        raise OnPurpose(f"task {number}")
    return lease.appid


@app.task(**appid_options(PRODUCT))
def work(number: int, *, lease: Lease = INJECTED) -> str:
    return _work(number, lease)


@app.task(**appid_options(PRODUCT), acks_late=True, reject_on_worker_lost=True)
def work_late(number: int, *, lease: Lease = INJECTED) -> str:
    return _work(number, lease)
