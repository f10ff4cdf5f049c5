"""What the tests of a pool with its threads share."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

from appid_manager_client import LeasePool, PoolClosed
from tests.support.waiting import PATIENCE

PRODUCT = "stt_billing"


def in_thread(work: Any) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def maintenance_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == f"appid-pool {PRODUCT}"]


def pool_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("appid-pool")]


def use(pool: LeasePool) -> None:
    with pool.lease():
        pass


def wait_until_closed(pool: LeasePool) -> None:
    with contextlib.suppress(PoolClosed):
        pool.lease(timeout=PATIENCE).acquire()
