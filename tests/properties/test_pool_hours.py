"""Ten thousand hours of a pool on a simulated clock, without failures: what it burns is its fault.

`test_pool_hours_with_faults.py` simulates ten thousand hours with failures.
"""

from __future__ import annotations

import pytest

from tests.support.poolsimulation import Simulation
from tests.support.poolworld import World

HOURS = 500

SKEWS = (-30.0, 0.0, 30.0, 11.5)
ZONES = (0, 15, 30, 45, 330)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("extended", [True, False], ids=["ours", "legacy"])
def test_no_hour_burns_an_appid_that_nobody_holds(seed: int, extended: bool) -> None:
    world = World(
        seed=seed,
        appids=12,
        extended=extended,
        skew=SKEWS[seed % len(SKEWS)],
        zone_minutes=ZONES[seed % len(ZONES)],
    )
    simulation = Simulation(world, max_size=4, max_uses=(None, None, 3)[seed % 3])

    simulation.run(HOURS)

    print(simulation.prove())
    over = simulation.crossings()
    assert {lent.request_id for lent in over} <= simulation.held_over
    stats = simulation.pool.get_stats()
    assert stats.checkouts == len(world.served) > HOURS
    assert world.service.in_use == []
    assert stats.size == stats.waiting == stats.checked_out == stats.errors == 0
    unused = stats.burned - sum(
        (world.service.hour_start(lent.stop) - lent.hour) // world.service.hour_ms for lent in over
    )
    assert 0 <= unused <= stats.renewals, "burned are those held over, and renewals in vain"
    assert len(simulation.lags) > HOURS / 20
    assert min(simulation.lags) >= 0
    assert max(simulation.lags) < 0.1
