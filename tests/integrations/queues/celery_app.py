"""The Celery app of the tests: loaded by real workers, configured from the environment as in production."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import redis
from appid_manager_client.integrations import _options
from appid_manager_client.integrations.celery import AppIdTask, appid_options
from celery import Celery, Task, chord
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded

from appid_manager_client import INJECTED, AppIdClient, Lease, uses_appid
from tests.integrations.queues.workers import announce, await_word

app = Celery("tests", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_send_sent_event=False,
    worker_hijack_root_logger=True,
    worker_prefetch_multiplier=1,
)
if "POOL_START_METHOD" in os.environ:
    app.conf.worker_pool_start_method = os.environ["POOL_START_METHOD"]
if "SCHEDULED" in os.environ:  # a token, for what Beat sends
    app.conf.beat_schedule = {
        "scheduled": {
            "task": f"{__name__}.hold",
            "schedule": 0.5,
            "args": [os.environ["SCHEDULED"]],
            "options": {"queue": os.environ["SCHEDULED_TO"]},
        }
    }
_options.PATIENCE = 0.5  # the hours of the tests are shorter than what it is otherwise
connection = redis.Redis.from_url(os.environ["WORDS"], socket_timeout=None)


def product_of(token: str, *args: Any, **kwargs: Any) -> str:
    """Each test has a product of its own, named in its token."""
    return token.partition(":")[0]


# The service with short hours, for what waits; its answers are heard by a client of its own.
short = (
    AppIdClient(os.environ["SHORT_HOURS"], journal=True) if "SHORT_HOURS" in os.environ else None
)


@app.task(base=AppIdTask, appid_product=product_of, bind=True)
def hold(self: AppIdTask, token: str, lease: Lease = INJECTED) -> str:
    """Announce the AppID, wait for the test's word, and end the way it says."""
    assert self.appid_lease is lease
    announce(connection, token, appid=lease.appid, id=self.request.id, retries=self.request.retries)
    try:
        end(self, await_word(connection, token) or "return")
    except SoftTimeLimitExceeded:
        announce(connection, token, appid=lease.appid, softly=True)
        raise
    return lease.appid


def end(task: AppIdTask, word: str) -> None:
    match word:
        case "raise":
            raise LookupError("as the test said")
        case "retry":
            raise task.retry(countdown=0)
        case "reject":
            raise Reject("as the test said", requeue=False)
        case "ignore":
            raise Ignore()
        case "replace":
            raise task.replace(plain.s())
        case "exit":
            sys.exit(3)
        case "_exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)


@app.task
def plain() -> str:
    return "plain"


@app.task(base=AppIdTask, appid_product=product_of, acks_late=True, reject_on_worker_lost=True)
def hold_late(token: str, lease: Lease = INJECTED) -> str:
    announce(connection, token, appid=lease.appid)
    end(hold_late, await_word(connection, token) or "return")
    return lease.appid


@app.task
@uses_appid(product_of)
def plainly_decorated(token: str, lease: Lease = INJECTED) -> str:
    announce(connection, token, appid=lease.appid)
    end(plainly_decorated, await_word(connection, token) or "return")
    return lease.appid


@app.task(**appid_options(product_of, client=short), bind=True, max_retries=1)
def waits(self: AppIdTask, token: str, lease: Lease = INJECTED) -> dict[str, Any]:
    waiting = sorted(name for name in self.request.headers or {} if name.startswith("appid_"))
    announce(
        connection,
        token,
        appid=lease.appid,
        start=lease.start_time,
        retries=self.request.retries,
        waiting=waiting,
    )
    end(self, await_word(connection, token) or "return")
    return {"appid": lease.appid, "start": lease.start_time, "id": self.request.id}


@app.task(**appid_options(product_of, client=short), acks_late=True)
def waits_late(token: str, lease: Lease = INJECTED) -> str:
    announce(connection, token, appid=lease.appid)
    end(waits_late, await_word(connection, token) or "return")
    return lease.appid


@app.task(**appid_options(product_of, client=short, timeout=0.2))
def waits_a_little(token: str, lease: Lease = INJECTED) -> str:
    return lease.appid


@app.task(**appid_options(product_of, client=short, on_exhausted="wait"))
def waits_inside(token: str, lease: Lease = INJECTED) -> int:
    return lease.start_time


@app.task(**appid_options(product_of, client=short, on_exhausted="fail"))
def fails(token: str, lease: Lease = INJECTED) -> str:
    return lease.appid


@app.task(bind=True)
def begin_chord(self: Task, token: str) -> str:
    queue = self.request.delivery_info["routing_key"]
    header = [waits.s(token).set(queue=queue)] * 2
    return str(chord(header)(gather.s().set(queue=queue)).id)


@app.task
def gather(results: list[Any]) -> list[Any]:
    return results


wrong_token = AppIdClient(os.environ.get("GUARDED", "http://127.0.0.1:9"), auth_token="wrong")


@app.task(**appid_options(product_of, client=wrong_token))
def refused(token: str) -> None:
    raise AssertionError("the body has run without an AppID")
