"""Ten thousand hours of pools with failures and outages, in turned time, at both kinds of service.

    python -m tests.soak.pool_hours [--seed N] [--hours N]

Clocks that are 30 seconds ahead or behind, and hours that turn at :00, :15 and :30: each combination takes its part of
the hours. What is proven, by the service's log, is said in `tests/support/pooltown.py`; what isn't so ends it with an
error, and the same seed brings it again. `make test` runs it with seed 1.
"""

from __future__ import annotations

import argparse
import itertools
import random
import time
from dataclasses import dataclass

from tests.support.pooltown import HOUR, Proof, Town
from tests.support.poolworld import World

HOURS = 10_080
FAULTS = 0.05
"""The part of the calls that fail while there is no outage."""


@dataclass(frozen=True)
class Setting:
    """Where a town lies: the service's kind, how far its clock is ahead, and at which minute of UTC its hours turn."""

    extended: bool
    skew: float
    turn: int

    def __str__(self) -> str:
        kind = "ours" if self.extended else "legacy"
        return f"{kind},skew{self.skew:+.0f}s,turn:{self.turn:02d}"


TOWNS = [
    Setting(*setting) for setting in itertools.product((True, False), (-30.0, 30.0), (0, 15, 30))
]


def simulate(setting: Setting, seed: int, hours: int) -> Proof:
    """Have a town live through `hours` with faults, and prove what the module says."""
    # A text as seed: that of one town shall not be that of another.
    chances = f"{seed} {setting}"
    world = World(
        seed=chances,
        appids=12,
        extended=setting.extended,
        skew=setting.skew,
        zone_minutes=-setting.turn % 60,
    )
    assert world.service.hour_start() // 60_000 % 60 == setting.turn
    choose = random.Random(chances)
    world.wire.faults = FAULTS
    town = Town(
        world,
        max_size=choose.choice([1, 3, 4]),
        max_uses=choose.choice([None, None, 3]),
        on_error=choose.choice(["release", "keep"]),
    )

    def fail_for_a_while() -> None:
        world.wire.down_until = world.time.now + world.chances.choice([1.0, 60.0, 1000.0])
        world.after(world.chances.uniform(1, 10) * HOUR, fail_for_a_while)

    fail_for_a_while()
    town.live(hours)
    world.wire.faults = world.wire.down_until = 0.0
    world.run(2 * HOUR)

    stats = town.pool.get_stats()
    assert stats.errors > hours / 25, "hardly anything failed"
    assert stats.checkouts == len(world.served) > hours
    assert world.service.in_use == []
    assert stats.size == stats.waiting == stats.checked_out == 0
    return town.prove()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--hours", type=int, default=HOURS)
    arguments = parser.parse_args()
    each = -(-arguments.hours // len(TOWNS))
    print(f"seed {arguments.seed}, {len(TOWNS)} towns of {each} hours", flush=True)
    start = time.monotonic()
    for setting in TOWNS:
        print(f"  {setting}: {simulate(setting, arguments.seed, each)}", flush=True)
    print(f"{each * len(TOWNS)} hours proven in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
