"""The jobs of the tests, run by real RQ workers that are configured from the environment."""

from __future__ import annotations

import os
import time
from typing import Any

from appid_manager_client.integrations.rq import appid_job
from rq import Retry, get_current_job
from rq.timeouts import JobTimeoutException

from appid_manager_client import INJECTED, Lease, uses_appid
from tests.integrations.queues.bodies import (
    announce_lease,
    in_line,
    obey,
    product_of,
    short,
    wrong_token,
)


@appid_job(product_of)
def hold(token: str, *, lease: Lease = INJECTED) -> Any:
    """Announce the AppID, wait for the test's word, and end the way it says."""
    return end(obey(token, lease, id=job_id()))


@uses_appid(product_of)
def plainly_decorated(token: str, *, lease: Lease = INJECTED) -> Any:
    return end(obey(token, lease))


def end(word: str) -> Any:
    """The end that only RQ has."""
    return Retry(max=1) if word == "retry" else word


def job_id() -> str:
    job = get_current_job()
    assert job is not None
    return job.id


def read_journal_variable() -> str | None:
    """Where the journal is, for a process that reads only its environment."""
    return os.environ.get("APPID_MANAGER_JOURNAL")


@appid_job(product_of)
def swallow_the_timeout(token: str, *, lease: Lease = INJECTED) -> None:
    announce_lease(token, lease)
    try:
        while True:
            time.sleep(0.05)
    except JobTimeoutException:
        pass


@appid_job(product_of, client=short)
def waits(token: str, *, lease: Lease = INJECTED) -> Any:
    word = end(obey(token, lease, id=job_id()))
    return word if isinstance(word, Retry) else lease.start_time


@appid_job(product_of, client=short, timeout=0.2)
def waits_a_little(token: str) -> None: ...


@appid_job(product_of, client=in_line)
def stands(token: str, *, lease: Lease = INJECTED) -> tuple[str, int]:
    return lease.appid, lease.start_time


@appid_job(product_of, client=in_line, timeout=2.0)
def stands_a_little(token: str) -> None: ...


@appid_job(product_of, client=short, on_exhausted="wait")
def waits_inside(token: str, *, lease: Lease = INJECTED) -> int:
    return lease.start_time


@appid_job(product_of, client=short, on_exhausted="fail")
def fails(token: str) -> None: ...


@appid_job(product_of, client=wrong_token)
def refused(token: str) -> None:
    raise AssertionError("the body has run without an AppID")
