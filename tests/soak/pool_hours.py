"""Ten thousand hours of pools in turned time, with failures and outages, at both kinds of service.

    python -m tests.soak.pool_hours [--seed N] [--hours N]

Clocks are 30 seconds ahead or behind, and hours turn at :00, :15 or :30; each combination takes its
part of the hours. `tests/support/poolsimulation.py` says what is proven by the service's log. A
failed proof ends it with an error; the same seed fails again. `make test` runs it with seed 1.
"""

from __future__ import annotations

import argparse
import itertools
import random
import time
from dataclasses import dataclass

from tests.support.poolsimulation import Proof, Simulation
from tests.support.poolworld import HOUR, World

HOURS = 10_080
FAULTS = 0.05
"""The part of the calls that fail while there is no outage."""


@dataclass(frozen=True)
class Setting:
    """The kind of service, how far its clock is ahead, the minute of UTC at which hours turn."""

    extended: bool
    skew: float
    turn: int

    def __str__(self) -> str:
        kind = "ours" if self.extended else "legacy"
        return f"{kind},skew{self.skew:+.0f}s,turn:{self.turn:02d}"


SETTINGS = [
    Setting(*setting) for setting in itertools.product((True, False), (-30.0, 30.0), (0, 15, 30))
]


def simulate(setting: Setting, seed: int, hours: int) -> Proof:
    """Simulate some hours with faults, and prove what the module says."""
    # The seed is a text, so that each setting has its own.
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
    simulation = Simulation(
        world,
        max_size=choose.choice([1, 3, 4]),
        max_uses=choose.choice([None, None, 3]),
        on_error=choose.choice(["release", "keep"]),
    )

    def fail_for_a_while() -> None:
        world.wire.down_until = world.time.now + world.chances.choice([1.0, 60.0, 1000.0])
        world.after(world.chances.uniform(1, 10) * HOUR, fail_for_a_while)

    fail_for_a_while()
    simulation.run(hours)
    world.wire.faults = world.wire.down_until = 0.0
    world.run(2 * HOUR)

    stats = simulation.pool.get_stats()
    assert stats.errors > hours / 25, "hardly anything failed"
    assert stats.checkouts == len(world.served) > hours
    assert world.service.in_use == []
    assert stats.size == stats.waiting == stats.checked_out == 0
    return simulation.prove()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--hours", type=int, default=HOURS)
    arguments = parser.parse_args()
    each = -(-arguments.hours // len(SETTINGS))
    print(f"seed {arguments.seed}, {len(SETTINGS)} settings of {each} hours", flush=True)
    start = time.monotonic()
    for setting in SETTINGS:
        print(f"  {setting}: {simulate(setting, arguments.seed, each)}", flush=True)
    print(f"{each * len(SETTINGS)} hours proven in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
