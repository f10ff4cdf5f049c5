"""The soak of replicas: two on PostgreSQL with a synchronous standby, behind pgbouncer.

    python -m tests.soak.replicas [--minutes N] [--seed N]

Callers in several processes take leases in hours of 30 s, through a balancer without sticky
sessions. Meanwhile replicas and callers are killed or stand still, the database restarts, loses
its standby, or is lost itself and the standby promoted, and pgbouncer ends (it is left out where it
isn't installed). At the end nothing that was acknowledged is missing, and no AppID was had by two,
or twice in an hour. The exit status is 1 where that isn't so.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psycopg

from appid_manager_client import AppIdClient
from tests.proof.checker import check_acknowledged, check_beliefs, check_history
from tests.proof.records import Believed, Recorded, read_beliefs
from tests.soak.replica_worker import PLENTY, SCARCE, THREADS
from tests.support.forwarding import Forwarder
from tests.support.pgbouncer import Bouncer, find_pgbouncer, running_pgbouncer
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.replicas import Replica, running_replicas
from tests.support.replication import promote, require_standby, synchronous_standby
from tests.support.waiting import wait_until

HOUR = 30
CALLERS = 3
BACK_WITHIN = 3.0
"""Seconds after the database's return within which every replica takes writes again."""


@dataclass(frozen=True)
class Plan:
    """How long a run takes.

    Attributes:
        seed: of what is left to chance.
        rounds: how often everything happens, at the most.
        seconds: after which nothing more happens.
        pace: a factor for all pauses.
        ttl: of the leases, in seconds.
    """

    seed: int
    rounds: int = 1_000_000
    seconds: float = math.inf
    pace: float = 1.0
    ttl: float = 10.0


class Database:
    """A primary at an address that stays the same, and its synchronous standby."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self.primary: PostgresServer = stack.enter_context(running_postgres())
        self.url = stack.enter_context(self.primary.database())
        self._port = self.primary.port
        self.standby: PostgresServer = stack.enter_context(synchronous_standby(self.primary))
        self.address = Forwarder(self.primary.port, name="address").start()
        stack.callback(self.address.close)
        stack.callback(lambda: self.primary.stop(signal.SIGQUIT))

    def restart(self) -> None:
        """As `pg_ctl restart -m immediate`."""
        self.primary.restart()

    @contextlib.contextmanager
    def without_standby(self) -> Iterator[None]:
        """The standby is away within the block: nothing can be acknowledged."""
        self.standby.stop(signal.SIGQUIT)
        yield
        self.standby.start()
        require_standby(self.primary)

    def fail_over(self) -> None:
        """The primary's machine is lost, the standby takes over, and gets a standby of its own."""
        self.primary.stop(signal.SIGQUIT)
        self.address.targets = ()
        self.address.cut()
        promote(self.standby)
        self.primary = self.standby
        self.address.targets = (self.primary.port,)
        self.standby = self._stack.enter_context(synchronous_standby(self.primary))

    def url_at(self, place: PostgresServer | Forwarder | Bouncer) -> str:
        """The URL of the database by way of one that has a port."""
        return self.url.replace(f":{self._port}/", f":{place.port}/")


class Callers:
    """The processes that take leases; each is replaced when it is killed."""

    def __init__(self, url: str, notes: Path, plan: Plan) -> None:
        notes.mkdir()
        self._notes = notes
        self._plan = plan
        self._environment = {**os.environ, "APPID_MANAGER_URL": url}
        self._started = 0
        self.living = [self._start() for _ in range(CALLERS)]

    def _start(self) -> subprocess.Popen[bytes]:
        self._started += 1
        name = str(self._started)
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.soak.replica_worker"),
                *(f"{self._plan.seed}-{name}", str(self._notes / name), str(self._plan.ttl)),
            ],
            env=self._environment,
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def kill(self, number: int) -> None:
        """`kill -9` one, and start another one."""
        self._end(self.living[number])
        self.living[number] = self._start()

    def stop(self) -> None:
        """Have all of them give back what they hold."""
        for process in self.living:
            process.communicate(timeout=120)

    def end(self) -> None:
        """Whatever went wrong: nobody is left behind."""
        for process in self.living:
            self._end(process)

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.communicate()


class Trouble:
    """What happens to the system meanwhile."""

    def __init__(
        self,
        database: Database,
        bouncer: Bouncer | None,
        replicas: list[Replica],
        callers: Callers,
        plan: Plan,
    ) -> None:
        self._database = database
        self._bouncer = bouncer
        self._replicas = replicas
        self._callers = callers
        self._plan = plan
        self._chance = random.Random(plan.seed)
        self.counts: Counter[str] = Counter()
        self.slowest = 0.0
        self._kinds = [
            self._kill_a_replica,
            self._stop_a_replica,
            self._kill_a_caller,
            self._restart,
            self._lose_the_standby,
            self._fail_over,
        ]
        if bouncer is not None:
            self._kinds.append(self._kill_pgbouncer)

    def strike(self) -> None:
        """Each kind once a round, in an order that chance gives."""
        deadline = time.monotonic() + self._plan.seconds
        for _ in range(self._plan.rounds):
            for kind in self._chance.sample(self._kinds, len(self._kinds)):
                self._pause(2, 8)
                if time.monotonic() >= deadline:
                    return
                kind()
                self.counts[kind.__name__.strip("_").replace("_", " ")] += 1

    def _pause(self, least: float, most: float) -> None:
        time.sleep(self._plan.pace * self._chance.uniform(least, most))

    def _kill_a_replica(self) -> None:
        replica = self._chance.choice(self._replicas)
        replica.kill()
        self._pause(0, 2)
        replica.start()
        replica.wait_ready()

    def _stop_a_replica(self) -> None:
        with self._chance.choice(self._replicas).stopped():
            self._pause(0.5, 12)

    def _kill_a_caller(self) -> None:
        self._callers.kill(self._chance.randrange(CALLERS))

    def _restart(self) -> None:
        self._database.restart()
        self._wait_until_back()

    def _lose_the_standby(self) -> None:
        with self._database.without_standby():
            self._pause(1, 6)
        self._wait_until_back()

    def _fail_over(self) -> None:
        self._database.fail_over()
        self._wait_until_back()

    def _kill_pgbouncer(self) -> None:
        assert self._bouncer is not None
        self._bouncer.kill()
        self._pause(0, 2)
        self._bouncer.start()
        self._wait_until_back()

    def _wait_until_back(self) -> None:
        """Every replica takes writes again, by itself."""
        began = time.monotonic()
        for replica in self._replicas:
            replica.wait_ready()
        self.slowest = max(self.slowest, time.monotonic() - began)


class Result(NamedTuple):
    """What came of a run: what is wrong, in words, and the books."""

    wrong: list[str]
    history: list[Recorded]
    notes: list[Believed]
    trouble: Trouble


def soak(plan: Plan, directory: Path) -> Result:
    """Run it."""
    with contextlib.ExitStack() as stack:
        database = Database(stack)
        bouncer = None
        if find_pgbouncer() is not None:
            bouncer = stack.enter_context(running_pgbouncer(database.address.port))
        replicas = stack.enter_context(
            running_replicas(
                database.url_at(bouncer or database.address),
                directory,
                *("--hour-seconds", str(HOUR)),
            )
        )
        balancer = Forwarder(*(replica.port for replica in replicas), name="balancer").start()
        stack.callback(balancer.close)
        url = f"http://127.0.0.1:{balancer.port}"
        with AppIdClient(url, 60) as client:
            client.init_product(PLENTY, {f"p{number:05d}": number for number in range(5_000)})
            client.init_product(SCARCE, {f"s{number}": number for number in range(20)})
        callers = Callers(url, directory / "notes", plan)
        trouble = Trouble(database, bouncer, replicas, callers, plan)
        try:
            trouble.strike()
            callers.stop()
        finally:
            callers.end()
        with AppIdClient(url, 60) as client:
            wait_until(
                lambda: _in_use(client) == 0, plan.ttl + 20, what="what the killed held expires"
            )
        history = read_history(database.url_at(database.primary))
    notes = read_beliefs((directory / "notes").iterdir())
    wrong = [
        *check_history(history, lambda moment: moment // (HOUR * 1000)),
        *check_acknowledged(history, notes),
        *check_beliefs(notes),
    ]
    return Result([str(one) for one in wrong], history, notes, trouble)


def read_history(url: str) -> list[Recorded]:
    """All leases that the database has."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT appid, start, stop, ended, lease_id, fence FROM leases WHERE appid IS NOT NULL"
        ).fetchall()
    return [Recorded(*row) for row in rows]


def _in_use(client: AppIdClient) -> int:
    entries = (e for name in (PLENTY, SCARCE) for e in client.get_status(name)["appids"])
    return sum(entry["status"] == "in_use" for entry in entries)


def _report(plan: Plan, seconds: float, result: Result) -> None:
    print(
        f"seed {plan.seed}: {len(result.history)} leases in {seconds:.0f} s of hours of {HOUR} s; "
        f"{len(result.notes)} noted by {CALLERS} processes of {THREADS} threads"
    )
    for what, count in sorted(result.trouble.counts.items()):
        print(f"  {count:7d} times: {what}")
    for ended, count in Counter(lease.ended for lease in result.history).items():
        print(f"  {count:7d} leases {ended}")
    print(f"  {result.trouble.slowest:7.1f} s at the most until all replicas took writes again")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    plan = Plan(arguments.seed, seconds=arguments.minutes * 60)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        result = soak(plan, Path(directory))
    _report(plan, time.monotonic() - began, result)
    wrong = result.wrong
    if result.trouble.slowest > BACK_WITHIN:
        wrong.append(f"a replica was back only after {result.trouble.slowest:.1f} s")
    for line in wrong[:50]:
        print("WRONG:", line)
    print("nothing was lost, and nothing was had twice" if not wrong else f"{len(wrong)} WRONG")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
