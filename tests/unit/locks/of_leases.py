"""What the locks of `lease/` guard: a lease, the claims, and AppIDs that the caller gives back."""

from __future__ import annotations

import threading
from contextlib import ExitStack

from appid_manager_client.errors import ClientClosed, LeaseInUse, LeaseLost, LeaseNotHeld
from appid_manager_client.lease import giveback, keeper, ledger, unmanaged
from appid_manager_client.lease import lease as lease_module
from appid_manager_client.lease.acquirer import Acquirer
from appid_manager_client.lease.claim import Claim, Outcome
from appid_manager_client.lease.lease import ClientLease
from appid_manager_client.lease.options import LeaseOptions, WaitOptions
from appid_manager_client.lease.unmanaged import UnmanagedAppIds
from appid_manager_client.runtime.time import SystemTime
from tests.support.poolservice import PRODUCT
from tests.support.poolworld import World
from tests.support.switching import Play, Result, Scenes
from tests.support.waiting import PATIENCE

SCENES = Scenes()
CLAIMS = (ledger, keeper, giveback)


class PassingTime(SystemTime):
    """The clock of a world, which a wait turns."""

    def __init__(self, world: World) -> None:
        self._world = world

    def monotonic(self) -> float:
        return self._world.time.now

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self._world.time.now += seconds
        return event.is_set()

    def uniform(self, low: float, high: float) -> float:
        return low


class Losses:
    """Counts how often a claim was lost."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def note(self, claim: Claim, reason: str) -> None:
        self.reasons.append(reason)


def a_world(stack: ExitStack) -> World:
    return stack.enter_context(World(appids=4))


def held_claim(world: World, losses: Losses | None = None) -> Claim:
    on_lost = None if losses is None else losses.note
    claim = world.keeper.open(PRODUCT, ttl=60.0, on_lost=on_lost)
    world.keeper.ask(claim)
    return claim


def end_of_all(world: World) -> None:
    """The service ends all leases by itself; the next heartbeat is due."""
    world.time.now += 30.0
    for lent in world.service.log:
        if lent.stop is None:
            world.service.end(lent, world.service_ms())


# --- the claims of a client


@SCENES.scene("Ledger", *CLAIMS)
def two_threads_release_a_claim(stack: ExitStack) -> Play:
    world = a_world(stack)
    claim = held_claim(world)

    def check(*results: Result) -> None:
        assert {result.value for result in results} == {Outcome.RELEASED, Outcome.NOTHING}

    return Play(
        lambda: world.keeper.try_release(claim), lambda: world.keeper.try_release(claim), check
    )


@SCENES.scene("Ledger", *CLAIMS)
def a_claim_is_given_up_while_it_is_asked_for(stack: ExitStack) -> Play:
    world = a_world(stack)
    claim = world.keeper.open(PRODUCT)

    def check(*_: Result) -> None:
        world.keeper.run_once()
        assert world.service.in_use == []

    return Play(
        lambda: world.keeper.ask(claim),
        lambda: world.keeper.give_up(claim),
        check,
        may_raise=(ClientClosed,),
    )


@SCENES.scene("Ledger", *CLAIMS)
def a_claim_is_added_while_all_are_looked_at(stack: ExitStack) -> Play:
    world = a_world(stack)
    held_claim(world), held_claim(world)

    def look() -> None:
        assert world.keeper.pending == ()
        world.keeper.run_once()

    return Play(look, lambda: world.keeper.open(PRODUCT), lambda *_: None)


@SCENES.scene("Ledger", *CLAIMS)
def a_claim_is_released_while_a_heartbeat_loses_it(stack: ExitStack) -> Play:
    world, losses = a_world(stack), Losses()
    claim = held_claim(world, losses)
    end_of_all(world)

    def check(*_: Result) -> None:
        world.keeper.run_once()
        assert len(losses.reasons) == 1, losses.reasons
        assert world.keeper.idle

    return Play(world.keeper.run_once, lambda: world.keeper.try_release(claim), check)


@SCENES.scene("Ledger", *CLAIMS)
def a_heartbeat_loses_a_claim_while_it_is_released(stack: ExitStack) -> Play:
    world, losses = a_world(stack), Losses()
    claim = held_claim(world, losses)
    end_of_all(world)

    def check(*_: Result) -> None:
        world.keeper.run_once()
        assert len(losses.reasons) == 1, losses.reasons
        assert world.keeper.idle

    return Play(lambda: world.keeper.try_release(claim), world.keeper.run_once, check)


@SCENES.scene("Ledger", *CLAIMS)
def a_claim_is_released_while_its_lease_is_found_forgotten(stack: ExitStack) -> Play:
    world = a_world(stack)
    claim = held_claim(world)
    world.keeper.forget(claim)

    def check(*_: Result) -> None:
        assert world.keeper.pending == () and world.keeper.idle

    return Play(world.keeper.run_once, lambda: world.keeper.try_release(claim), check)


# --- one lease


def a_lease(stack: ExitStack) -> tuple[World, ClientLease]:
    world = a_world(stack)
    acquirer = Acquirer(world.keeper, PassingTime(world))
    stack.callback(acquirer.close, PATIENCE)
    return world, ClientLease(world.keeper, acquirer, PRODUCT, LeaseOptions())


@SCENES.scene("ClientLease", lease_module)
def two_threads_enter_a_lease(stack: ExitStack) -> Play:
    world, lease = a_lease(stack)

    def check(*results: Result) -> None:
        assert [type(result.error) for result in results].count(LeaseInUse) == 1
        assert len(world.service.in_use) == 1
        lease.release()
        assert world.service.in_use == []

    return Play(lease.acquire, lease.acquire, check, may_raise=(LeaseInUse,))


@SCENES.scene("ClientLease", lease_module)
def a_lease_is_released_while_it_is_renewed(stack: ExitStack) -> Play:
    world, lease = a_lease(stack)
    lease.acquire()

    def check(renewed: Result, released: Result) -> None:
        assert renewed.error is None or released.value
        assert not (released.value and lease.held)
        lease.release()
        assert world.service.in_use == []

    return Play(lease.renew, lease.release, check, may_raise=(LeaseLost, LeaseNotHeld))


# --- AppIDs that the caller gives back


def unmanaged_appids(stack: ExitStack) -> tuple[World, UnmanagedAppIds]:
    world = stack.enter_context(World(appids=1))
    acquirer = Acquirer(world.keeper, PassingTime(world))
    stack.callback(acquirer.close, PATIENCE)
    return world, UnmanagedAppIds(world.keeper, acquirer, PassingTime(world))


OPTIONS = LeaseOptions(WaitOptions(), ttl=None)


@SCENES.scene("UnmanagedAppIds", unmanaged)
def an_appid_is_acquired_again_while_its_release_ends(stack: ExitStack) -> Play:
    world, appids = unmanaged_appids(stack)
    appids.acquire(PRODUCT, OPTIONS)

    def acquire_again() -> None:
        if world.service.in_use == []:
            appids.acquire(PRODUCT, OPTIONS)

    def check(*_: Result) -> None:
        if world.service.in_use:  # a release that names no lease would be refused
            assert appids.release("a0", PRODUCT)

    return Play(lambda: appids.release("a0", PRODUCT), acquire_again, check)
