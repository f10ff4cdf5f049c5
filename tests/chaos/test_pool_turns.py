"""Pools over real turns of the hour: how soon the first and last lease are there, none burned."""

from __future__ import annotations

import threading
from contextlib import ExitStack

from appid_manager_client import AppIdClient, LeasePool
from tests.support.field import FieldService
from tests.support.ours import OurService
from tests.support.waiting import PATIENCE, wait_until

PRODUCT = "stt_billing"
AHEAD = 100.0
"""How far the legacy service's clock is ahead of this machine's, in seconds."""

SOON = 0.1
TRIES = 5
"""Of so many turns at the most, one has to show that the first lease is there within `SOON`."""
STALL = 1.5
"""Seconds that a loaded machine may stop a test now and then; printed figures show the usual."""


def use_over_the_turn(pool: LeasePool, service: FieldService | OurService, threads: int) -> None:
    """Have some threads check out and in, until all have one that was granted after the turn."""
    turn = service.hour_end()

    def work() -> None:
        while True:
            with pool.lease(timeout=PATIENCE) as lease:
                if lease.start_time >= turn * 1000:
                    everybody.wait(PATIENCE)
                    return

    everybody = threading.Barrier(threads)
    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE)
        assert not worker.is_alive()


def lags(service: FieldService | OurService, turn: float) -> list[float]:
    """Seconds after the turn at which AppIDs were granted."""
    return sorted(
        grant.starttime / 1000 - turn
        for grant in service.grants
        if turn <= grant.starttime / 1000 < turn + 10
    )


def check(found: list[float], size: int) -> bool:
    """Returns whether the first lease was there soon. It is never early, nor later than a stall."""
    print(f"first lease {found[0] * 1000:.0f} ms after the turn, last {found[-1] * 1000:.0f} ms")
    assert len(found) == size
    assert 0 <= found[0] < SOON + STALL
    assert found[-1] < SOON + STALL
    return found[0] < SOON


def test_ours_over_shortened_hours_burns_nothing() -> None:
    with ExitStack() as stack:
        service = stack.enter_context(OurService(hour_seconds=6))
        service.init(PRODUCT, {f"a{number}": number for number in range(6)})
        client = stack.enter_context(AppIdClient(service.url, auth_token=service.auth_token))
        pool = stack.enter_context(client.pool(PRODUCT, max_size=3))
        turns = soon = 0
        while turns < 2 or (not soon and turns < TRIES):
            turn = service.hour_end()
            use_over_the_turn(pool, service, 3)
            soon += check(lags(service, turn), 3)
            turns += 1
        assert soon, f"in none of {turns} hours was the first lease there within {SOON} s"
        pool.close(PATIENCE)
        length = 6000
        over = [
            lease
            for lease in service.local.history()
            if lease["stoptime"] // length != lease["starttime"] // length
        ]
        assert not over
        assert pool.get_stats().burned == 0
        assert pool.get_stats().renewals >= 4


def test_a_legacy_service_with_a_clock_of_its_own_is_followed_over_its_turn() -> None:
    assert any(a_legacy_turn() for _ in range(TRIES)), f"never a lease within {SOON} s of the turn"


def a_legacy_turn() -> bool:
    with ExitStack() as stack:
        service = stack.enter_context(FieldService(offset=AHEAD, zone_offset_minutes=330))
        service.init(PRODUCT, {f"a{number}": number for number in range(6)})
        service.set_time(service.hour_end() - 4)
        client = stack.enter_context(AppIdClient(service.url, auth_token=service.auth_token))
        pool = stack.enter_context(client.pool(PRODUCT, max_size=3, renew_margin=2.0))
        turn = service.hour_end()
        with pool.lease(), pool.lease(), pool.lease():
            pass
        use_over_the_turn(pool, service, 3)
        soon = check(lags(service, turn), 3)
        for back in service.returns:
            assert back.stoptime is not None and back.stoptime < turn * 1000
        wait_until(lambda: pool.get_stats().idle == 3)
        assert pool.get_stats().burned == 0
        return soon
