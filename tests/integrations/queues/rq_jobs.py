"""The jobs of the tests, run by real RQ workers, configured from the environment as in production."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

import redis
from appid_manager_client.integrations import _options
from appid_manager_client.integrations.rq import appid_job
from rq import Retry, get_current_job
from rq.timeouts import JobTimeoutException

from appid_manager_client import INJECTED, AppIdClient, Lease, uses_appid
from tests.integrations.queues.workers import announce, await_word

_options.PATIENCE = 0.5  # the hours of the tests are shorter than what it is otherwise
connection = redis.Redis.from_url(os.environ["WORDS"], socket_timeout=None)
short = AppIdClient(os.environ["SHORT_HOURS"], journal=True)
wrong_token = AppIdClient(os.environ["GUARDED"], auth_token="wrong")


def product_of(token: str, *args: Any, **kwargs: Any) -> str:
    """Each test has a product of its own, named in its token."""
    return token.partition(":")[0]


@appid_job(product_of)
def hold(token: str, *, lease: Lease = INJECTED) -> Any:
    """Announce the AppID, wait for the test's word, and end the way it says."""
    announce(connection, token, appid=lease.appid)
    return end(await_word(connection, token))


@uses_appid(product_of)
def plainly_decorated(token: str, *, lease: Lease = INJECTED) -> Any:
    announce(connection, token, appid=lease.appid)
    return end(await_word(connection, token))


def tell_journal() -> str | None:
    """Where the journal is, for whoever reads only the environment."""
    return os.environ.get("APPID_MANAGER_JOURNAL")


@appid_job(product_of)
def swallow_the_timeout(token: str, *, lease: Lease = INJECTED) -> str:
    try:
        hold_on(token, lease)
    except JobTimeoutException:
        pass
    return "swallowed"


def hold_on(token: str, lease: Lease) -> None:
    announce(connection, token, appid=lease.appid)
    while True:
        time.sleep(0.05)


def end(word: str | None) -> Any:
    match word:
        case "raise":
            raise LookupError("as the test said")
        case "exit":
            sys.exit(3)
        case "retry":
            return Retry(max=1)
        case "_exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "terminate":
            os.kill(os.getpid(), signal.SIGTERM)
    return word


@appid_job(product_of, client=short)
def waits(token: str, *, lease: Lease = INJECTED) -> Any:
    job = get_current_job()
    assert job is not None
    announce(connection, token, appid=lease.appid, id=job.id, start=lease.start_time)
    return end(await_word(connection, token))


@appid_job(product_of, client=short, timeout=0.2)
def waits_a_little(token: str) -> None: ...


@appid_job(product_of, client=short, on_exhausted="wait")
def waits_inside(token: str, *, lease: Lease = INJECTED) -> int:
    return lease.start_time


@appid_job(product_of, client=short, on_exhausted="fail")
def fails(token: str) -> None: ...


@appid_job(product_of, client=wrong_token)
def refused(token: str) -> None:
    raise AssertionError("the body has run without an AppID")
