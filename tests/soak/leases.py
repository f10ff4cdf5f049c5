"""The soak of leases: four processes of eight threads, random faults, kills, both services.

    python -m tests.soak.leases [--service ours|field] [--leases N] [--seed N]

At the end no AppID is in use, and the service's log shows that none was handed out twice in an
hour or held by two. The hour turns twice meanwhile, so that AppIDs come round again; on our
service every lease that is held then has run out. The exit status is 1 where that isn't so. Left
out on the field service, as nothing on this side can mend it there: answers lost on an acquire,
kills in the middle of one, and so the pool, whose own thread acquires.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

from appid_manager_client import AppIdClient
from tests.soak.accounts import givers, spells, wrongs
from tests.soak.lease_worker import PRODUCT, THREADS
from tests.support.faults import ACTS, Fault, QueuedFault
from tests.support.field import FieldService
from tests.support.ours import OurService
from tests.support.waiting import wait_until

PROCESSES = 4
LONGEST = 240.0
"""Seconds after which no more leases are waited for."""
FEWEST_KILLS = 3
MOST = 6000
"""Leases of a run: what the service shows of its history ends at 10,000."""

_FAULTS = [
    Fault.LOSE_ANSWER,
    Fault.CLOSE_UNREAD,
    Fault.RESET_HALF_WAY,
    Fault.TRUNCATE,
    Fault.INTERNAL_ERROR,
    Fault.UNAVAILABLE,
    Fault.TOO_MANY_REQUESTS,
]
_TTL = 60
_KILLED = "processes killed"


class Processes:
    """The workers that live now, each replaced when it is killed."""

    def __init__(self, service: FieldService | OurService, journal: Path, notes: Path) -> None:
        notes.mkdir()
        self._notes = notes
        self._ways = "gated" if service.is_legacy else "all"
        self._environment = {
            **os.environ,
            "APPID_MANAGER_URL": service.url,
            "APPID_MANAGER_TOKEN": str(service.auth_token),
            "APPID_MANAGER_JOURNAL": str(journal),
            "PYTHONWARNINGS": "ignore::ResourceWarning",
        }
        self._started = 0
        self.living = [self._start() for _ in range(PROCESSES)]

    def _start(self) -> subprocess.Popen[str]:
        self._started += 1
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.soak.lease_worker",
                str(self._started),
                str(self._notes / str(self._started)),
                self._ways,
            ],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def kill(self, index: int, *, between_acquires: bool) -> None:
        victim = self.living[index]
        if between_acquires:
            self._tell(victim, "freeze")
            assert victim.stdout is not None and victim.stdout.readline() == "frozen\n"
        victim.kill()
        victim.communicate()
        self.living[index] = self._start()

    def stop(self) -> list[str]:
        """End all; in words, who didn't end well."""
        for process in self.living:
            self._tell(process, "stop")
        for process in self.living:
            process.communicate(timeout=120)
        return [f"a worker ended with {p.returncode}" for p in self.living if p.returncode]

    def end(self) -> None:
        """Whatever went wrong: nobody is left behind."""
        for process in self.living:
            process.kill()
            process.communicate()

    @staticmethod
    def _tell(process: subprocess.Popen[str], command: str) -> None:
        assert process.stdin is not None
        process.stdin.write(command + "\n")
        process.stdin.flush()


def soak(kind: str, leases: int, seed: int) -> list[str]:
    """Run it; what went wrong, in words."""
    chance = random.Random(seed)
    counts: Counter[str] = Counter()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory, _service(kind) as service:
        service.init(PRODUCT, {f"a{number:05d}": number for number in range(leases * 2 // 3)})
        journal, notes = Path(directory, "journal"), Path(directory, "notes")
        processes = Processes(service, journal, notes)
        try:
            _trouble(service, processes, kind, leases, chance, counts)
            service.faults.clear()
            wrong = processes.stop()
        finally:
            processes.end()
        with AppIdClient(
            service.url, auth_token=service.auth_token, journal=journal, timeout=30
        ) as survivor:
            reaped = sum(found.released for found in survivor.reap())
        left = len(service.in_use(PRODUCT))
        if kind == "ours" and left:
            wait_until(lambda: not service.in_use(PRODUCT), _TTL + 20, what="leases expire")
        had = spells(service, PRODUCT)
        wrong += wrongs(had)
        if len(had) < leases:
            wrong.append(f"only {len(had)} of {leases} leases within {LONGEST:g} s")
        by = givers(notes, had)
    seconds = time.monotonic() - began
    print(f"{kind}, seed {seed}: {len(had)} leases in {seconds:.0f} s and ", end="")
    print(f"{len({spell.hour for spell in had})} hours, {PROCESSES} processes of {THREADS} threads")
    for what, count in sorted(counts.items()):
        print(f"  {count:6d} {what}")
    ended = sum(spell.stop is not None for spell in had)
    expired = sum(spell.expired for spell in had)
    print(f"  {by['holder']:6d} given back by their holder")
    print(f"  {by['keeper']:6d} by the keeper: forgotten, retried, pooled, or waited for by nobody")
    print(f"  {reaped:6d} by the reaper")
    print(f"  {expired:6d} ended by their ttl")
    rest = ended - by["holder"] - by["keeper"] - reaped - expired
    print(f"  {rest:6d} by their request's id, or by a process killed before it could note it")
    print(f"  {by['lost']:6d} heard of as lost by their holders")
    print(f"  {left:6d} in use after the reaper, {len(had) - ended} in use at the end", flush=True)
    return wrong


def _trouble(
    service: FieldService | OurService,
    processes: Processes,
    kind: str,
    leases: int,
    chance: random.Random,
    counts: Counter[str],
) -> None:
    """Faults, kills and turns of the hour until there were enough leases."""
    began = time.monotonic()
    next_kill = began + 1
    queued: list[tuple[str, int, QueuedFault]] = []
    turns = [leases // 3, leases * 2 // 3]
    while time.monotonic() < began + LONGEST:
        for _ in range(20):
            _strike(service, kind, chance, counts, queued)
            time.sleep(chance.uniform(0.01, 0.05))
        taken = len(service.grants)
        if taken >= leases and counts[_KILLED] >= FEWEST_KILLS:
            break
        if turns and taken >= turns[0]:
            del turns[0]
            service.advance_to_next_hour()
            counts["turns of the hour"] += 1
        if time.monotonic() >= next_kill:
            processes.kill(chance.randrange(PROCESSES), between_acquires=kind == "field")
            counts[_KILLED] += 1
            next_kill = time.monotonic() + chance.uniform(1, 2)
    for path, times, fault in queued:
        counts[f"faults that struck: {path}, {fault.fault.value}"] += times - fault.left


def _service(kind: str) -> FieldService | OurService:
    return FieldService() if kind == "field" else OurService()


def _strike(
    service: FieldService | OurService,
    kind: str,
    chance: random.Random,
    counts: Counter[str],
    queued: list[tuple[str, int, QueuedFault]],
) -> None:
    # No heartbeats go to the field's service: faults for them would only fill the queue.
    path = chance.choice(["acquire", "release"] + ["heartbeat"] * (kind == "ours"))
    fault = chance.choice(_FAULTS)
    if kind == "field" and path == "acquire" and fault in ACTS:
        fault = Fault.UNAVAILABLE
    if chance.random() < 0.02:
        with service.refusing():
            time.sleep(chance.uniform(0.1, 0.5))
        counts["outages"] += 1
    elif service.faults.pending < 20:
        times = chance.randint(1, 3)
        queued.append((path, times, service.faults.queue(path, fault, times)))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak.leases", description="The soak of leases."
    )
    parser.add_argument("--service", choices=["ours", "field"], action="append")
    parser.add_argument("--leases", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not 1 <= options.leases <= MOST:
        parser.error(f"--leases must be between 1 and {MOST}, not {options.leases}")
    wrong: list[str] = []
    for kind in options.service or ["ours", "field"]:
        wrong += soak(kind, options.leases, options.seed)
    for line in wrong:
        print(f"WRONG: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    warnings.simplefilter("ignore", ResourceWarning)
    sys.exit(main())
