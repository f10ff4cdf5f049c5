"""Whoever asks a pool's plan or a client's ledger holds its lock, wherever the question stands."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from appid_manager_client.lease import ledger as ledger_module
from appid_manager_client.lease.ledger import Ledger
from appid_manager_client.pool import plan, queue, slots, turn
from appid_manager_client.pool.plan import PoolPlan
from tests.soak.pool_hours import SETTINGS, simulate
from tests.support.poolservice import PRODUCT
from tests.support.poolworld import World

GUARDED = {module.__file__ for module in (ledger_module, plan, slots, turn, queue)}

WITHOUT = {
    "__init__",
    "_start_afresh",
    "start_afresh",
    "after_fork_in_child",
    "empty",  # one look: is there anything at all?
}
"""Methods that take no lock: of what is being made, and single looks."""

OUTSIDE = {"ThreadWaiter", "LoopWaiter", "Waiter", "Caller", "PoolErrors"}
"""Classes of these files that the lock doesn't guard."""


def in_package(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith("appid_manager_client.")


class Watch:
    """Sees each call into a guarded file. One thread runs, so a lock that is held is its own."""

    def __init__(self) -> None:
        self.locks: dict[str, Any] = {}
        self.calls: set[str] = set()
        self.unguarded: set[str] = set()

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        code, caller = frame.f_code, frame.f_back
        if event != "call" or code.co_filename not in GUARDED or caller is None:
            return
        itself = frame.f_locals.get("self")
        if itself is None or type(itself).__name__ in OUTSIDE or code.co_name in WITHOUT:
            return
        if caller.f_code.co_filename in GUARDED or not in_package(caller):
            return
        side = "ledger" if isinstance(itself, Ledger) else "plan"
        if isinstance(itself, (Ledger, PoolPlan)):
            self.locks[side] = itself.lock
        name = f"{code.co_qualname} in {caller.f_code.co_qualname}"
        self.calls.add(name)
        if side in self.locks and not self.locks[side].locked():
            self.unguarded.add(name)


@contextmanager
def watched() -> Iterator[Watch]:
    watch = Watch()
    sys.setprofile(watch)
    try:
        yield watch
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize("setting", [SETTINGS[0], SETTINGS[-1]], ids=str)
def test_in_hours_of_a_pool_with_failures_every_question_is_asked_under_the_lock(
    setting: Any,
) -> None:
    with watched() as watch:
        simulate(setting, seed=1, hours=60)
    assert len(watch.calls) > 20, watch.calls
    assert watch.unguarded == set()


def test_at_rarer_ends_too() -> None:
    with watched() as watch, World(appids=8) as world:
        pool = world.pool(max_size=3, ttl=60.0)
        world.use(pool, 2)
        lease = pool.lease(timeout=0)
        asyncio.run(lease.acquire_async())
        world.time.now += 30.0  # a heartbeat is due
        world.keeper.run_once()
        for lent in [lent for lent in world.service.log if lent.stop is None]:
            world.service.end(lent, world.service_ms())
        world.time.now += 30.0
        world.keeper.run_once()
        assert lease.lost
        lease.release()
        given_away, held = world.keeper.open(PRODUCT), world.keeper.open(PRODUCT)
        world.keeper.ask(given_away)
        world.keeper.hand_over(given_away)
        world.keeper.ask(held)
        world.keeper.open(PRODUCT)  # nobody asks for it any more
        world.wire.down_until = world.time.now + 10.0
        assert not world.keeper.close(timeout=0.0)
        world.close_pool(pool)
    callers = {name.rpartition(".")[2] for name in watch.calls}
    assert callers >= {"lend_async", "hand_over", "_lose", "_claim_lost", "leave", "_try_all"}
    assert watch.unguarded == set()
