"""A process that holds thousands of leases: what happens to one of them looks at few others."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import pytest

from appid_manager_client.lease.claim import Claim, ClaimState, LossHandler
from appid_manager_client.wire.models import Grant
from tests.support.poolservice import PRODUCT
from tests.support.poolworld import World

HELD = 4000
TTL = 60.0


class Watched(Claim):
    """A claim that counts how often anybody looks at it."""

    looks = 0

    def __getattribute__(self, name: str) -> Any:
        Watched.looks += 1
        return super().__getattribute__(name)


class Owner:
    """Whose claims they are: a lease that is told of losses."""

    def __init__(self) -> None:
        self.told: list[str | None] = []

    def claim_lost(self, claim: Claim, reason: str) -> None:
        self.told.append(claim.appid)


class Holder:
    """A keeper that holds some claims, and looks after them in rounds."""

    def __init__(self, held: int) -> None:
        self.world = World(appids=held + 20)
        self.world.wire.delay = 0.0
        self.keeper = self.world.keeper
        self.owner = Owner()
        self.held = [self.take(Watched) for _ in range(held)]
        self.keeper.run_once()

    def take(self, kind: type[Claim] = Claim) -> Claim:
        on_lost: weakref.WeakMethod[LossHandler] = weakref.WeakMethod(self.owner.claim_lost)
        claim = kind(PRODUCT, ttl=TTL, on_lost=on_lost)
        self.keeper.register(claim)
        assert isinstance(self.keeper.ask(claim), Grant)
        return claim


@pytest.fixture(scope="module")
def holder() -> Holder:
    return Holder(HELD)


def _lease(holder: Holder) -> None:
    claim = holder.take()
    holder.keeper.run_once()
    holder.keeper.release(claim)
    holder.keeper.run_once()
    assert claim.state is ClaimState.ENDED


def _forgotten(holder: Holder) -> None:
    claim = holder.take()
    holder.keeper.forget(claim)
    holder.keeper.run_once()
    holder.keeper.run_once()
    assert claim.state is ClaimState.ENDED


def _lost(holder: Holder) -> None:
    claim = holder.take()
    claim.heard_at -= TTL
    assert holder.keeper.overdue(claim)
    holder.keeper.run_once()
    assert holder.owner.told.pop() == claim.appid


def _deferred(holder: Holder) -> None:
    claim = holder.take()
    holder.world.wire.down_until = holder.world.time.now + 1.0
    holder.keeper.release(claim)
    for _ in range(10):
        holder.keeper.run_once()
        holder.world.time.now += 0.5
    assert claim.state is ClaimState.ENDED


@pytest.mark.parametrize("use", [_lease, _forgotten, _lost, _deferred])
def test_what_happens_to_one_lease_looks_at_a_bounded_number_of_the_others(
    holder: Holder, use: Callable[[Holder], None]
) -> None:
    Watched.looks = 0
    for _ in range(3):
        use(holder)
    assert Watched.looks <= 200, "a few a round; for each of the others there would be thousands"


def test_between_two_heartbeats_each_lease_is_looked_at_a_bounded_number_of_times() -> None:
    holder = Holder(HELD)
    beats = holder.world.service.calls
    Watched.looks = 0
    until = holder.world.time.now + TTL
    while holder.world.time.now < until:
        pause = holder.keeper.run_once()
        assert pause is not None
        holder.world.time.now += max(pause, 0.001)
    # A call takes at most a thousand leases, and three heartbeats are due in a ttl.
    assert holder.world.service.calls - beats <= 4 * (HELD // 1000)
    assert Watched.looks <= 100 * HELD
    assert all(claim.state is ClaimState.HELD for claim in holder.held)


def test_to_close_a_client_looks_at_each_lease_a_bounded_number_of_times() -> None:
    holder = Holder(HELD)
    Watched.looks = 0
    assert holder.keeper.close()
    assert Watched.looks <= 100 * HELD
    assert holder.world.service.in_use == []
