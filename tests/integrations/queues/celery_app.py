"""The Celery app of the tests: loaded by real workers, configured from the environment."""

from __future__ import annotations

import os
from typing import Any

from appid_manager_client.integrations.celery import AppIdTask, appid_options
from celery import Celery, Task, chord
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded

from appid_manager_client import INJECTED, Lease, uses_appid
from tests.integrations.queues.bodies import (
    announce_lease,
    in_line,
    obey,
    product_of,
    short,
    wrong_token,
)

app = Celery("tests", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_send_sent_event=False,
    worker_hijack_root_logger=True,
    worker_prefetch_multiplier=1,
)
if "POOL_START_METHOD" in os.environ:
    app.conf.worker_pool_start_method = os.environ["POOL_START_METHOD"]
if "SCENE" in os.environ:  # for a worker with Beat
    app.conf.beat_schedule = {
        "scheduled": {
            "task": f"{__name__}.hold",
            "schedule": 0.5,
            "args": [os.environ["SCENE"]],
            "options": {"queue": os.environ["QUEUE"]},
        }
    }


@app.task(base=AppIdTask, appid_product=product_of, bind=True)
def hold(self: AppIdTask, token: str, lease: Lease = INJECTED) -> str:
    """Announce the AppID, wait for the test's word, and end the way it says."""
    assert self.appid_lease is lease
    try:
        end(self, obey(token, lease, id=self.request.id))
    except SoftTimeLimitExceeded:
        announce_lease(token, lease, softly=True)
        raise
    return lease.appid


def end(task: AppIdTask, word: str) -> None:
    """The ends that only Celery has."""
    match word:
        case "retry":
            raise task.retry(countdown=0)
        case "reject":
            raise Reject("as the test said", requeue=False)
        case "ignore":
            raise Ignore()
        case "replace":
            raise task.replace(plain.s())


@app.task
def plain() -> str:
    return "plain"


@app.task(base=AppIdTask, appid_product=product_of, acks_late=True, reject_on_worker_lost=True)
def hold_late(token: str, lease: Lease = INJECTED) -> None:
    obey(token, lease)


@app.task
@uses_appid(product_of)
def plainly_decorated(token: str, lease: Lease = INJECTED) -> None:
    obey(token, lease)


@app.task(**appid_options(product_of, client=short), bind=True, max_retries=1)
def waits(self: AppIdTask, token: str, lease: Lease = INJECTED) -> int:
    request = self.request
    waiting = sorted(name for name in request.headers or {} if name.startswith("appid_"))
    end(self, obey(token, lease, id=request.id, retries=request.retries, waiting=waiting))
    return lease.start_time


@app.task(**appid_options(product_of, client=short), acks_late=True)
def waits_late(token: str, lease: Lease = INJECTED) -> None:
    obey(token, lease)


@app.task(**appid_options(product_of, client=short, timeout=0.2))
def waits_a_little(token: str) -> None: ...


@app.task(**appid_options(product_of, client=in_line))
def stands(token: str, lease: Lease = INJECTED) -> tuple[str, int]:
    return lease.appid, lease.start_time


@app.task(**appid_options(product_of, client=in_line, timeout=2.0))
def stands_a_little(token: str) -> None: ...


@app.task(**appid_options(product_of, client=short, on_exhausted="wait"))
def waits_inside(token: str, lease: Lease = INJECTED) -> int:
    return lease.start_time


@app.task(**appid_options(product_of, client=short, on_exhausted="fail"))
def fails(token: str) -> None: ...


@app.task(bind=True)
def begin_chord(self: Task, token: str) -> str:
    queue = self.request.delivery_info["routing_key"]
    header = [waits.s(token).set(queue=queue)] * 2
    return str(chord(header)(gather.s().set(queue=queue)).id)


@app.task
def gather(results: list[Any]) -> list[Any]:
    return results


@app.task(**appid_options(product_of, client=wrong_token))
def refused(token: str) -> None:
    raise AssertionError("the body has run without an AppID")
