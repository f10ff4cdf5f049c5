"""The soak of leases: four processes of eight threads, random faults, and kills, at either kind of service.

    python -m tests.soak.leases [--service ours|field] [--leases N] [--seed N]

At the end no AppID is in use, and the service's log shows that none was handed out twice in an hour. Ends with status 1
where that isn't so. Left out on the field's service, as nothing on this side can mend it there: answers lost on an
acquire, and kills in the middle of one.
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
from tests.soak.lease_worker import PRODUCT, THREADS
from tests.support.faults import ACTS, Fault
from tests.support.field import FieldService
from tests.support.ours import OurService
from tests.support.waiting import wait_until

PROCESSES = 4
LONGEST = 240.0
"""Seconds after which no more leases are waited for."""

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


class Processes:
    """The workers that live now, each replaced when it is killed."""

    def __init__(self, service: FieldService | OurService, journal: Path) -> None:
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
            [sys.executable, "-m", "tests.soak.lease_worker", str(self._started)],
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

    def stop(self) -> int:
        """End all; how many leases those had that lived to tell."""
        for process in self.living:
            self._tell(process, "stop")
        told = [process.communicate(timeout=120)[0].split() for process in self.living]
        return sum(int(words[1]) for words in told if words[:1] == ["had"])

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
        service.init(PRODUCT, {f"a{number:05d}": number for number in range(leases * 3 // 2)})
        journal = Path(directory, "journal")
        processes = Processes(service, journal)
        next_kill = began + 2
        while len(service.grants) < leases and time.monotonic() < began + LONGEST:
            for _ in range(20):
                _strike(service, kind, chance, counts)
                time.sleep(chance.uniform(0.01, 0.05))
            if time.monotonic() >= next_kill:
                processes.kill(chance.randrange(PROCESSES), between_acquires=kind == "field")
                counts["processes killed"] += 1
                next_kill = time.monotonic() + chance.uniform(1, 2)
        service.faults.clear()
        told = processes.stop()
        with AppIdClient(
            service.url, auth_token=service.auth_token, journal=journal, timeout=30
        ) as reaper:
            counts["given back by the reaper"] = sum(found.released for found in reaper.reap())
        left = service.in_use(PRODUCT)
        if kind == "ours" and left:
            wait_until(lambda: not service.in_use(PRODUCT), _TTL + 20, what="leases expire")
        wrong = _verdict(service)
        print(
            f"{kind}: {len(service.grants)} AppIDs handed out in {time.monotonic() - began:.0f} s, ",
            end="",
        )
        print(
            f"to {PROCESSES} processes of {THREADS} threads ({told} leases of those that lived to tell)"
        )
        for what, count in sorted(counts.items()):
            print(f"  {count:6d} {what}")
        print(f"  {len(left):6d} still in use when all had ended")
        print(f"  {len(service.in_use(PRODUCT)):6d} in use at the end")
    return wrong


def _service(kind: str) -> FieldService | OurService:
    return FieldService() if kind == "field" else OurService()


def _strike(
    service: FieldService | OurService, kind: str, chance: random.Random, counts: Counter[str]
) -> None:
    path = chance.choice(["acquire", "release"])
    fault = chance.choice(_FAULTS)
    if kind == "field" and path == "acquire" and fault in ACTS:
        fault = Fault.UNAVAILABLE
    if chance.random() < 0.02:
        with service.refusing():
            time.sleep(chance.uniform(0.1, 0.5))
        counts["outages"] += 1
    elif service.faults.pending < 20:
        service.faults.queue(path, fault, chance.randint(1, 3))
        counts[f"faults: {fault.value}"] += 1


def _verdict(service: FieldService | OurService) -> list[str]:
    wrong = [f"{appid} is in use, and nobody holds it" for appid in service.in_use(PRODUCT)]
    twice = Counter((grant.appid, grant.hour) for grant in service.grants)
    wrong += [
        f"{appid} was handed out {n} times in {hour}" for (appid, hour), n in twice.items() if n > 1
    ]
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak.leases", description="The soak of leases."
    )
    parser.add_argument("--service", choices=["ours", "field"], action="append")
    parser.add_argument("--leases", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    wrong: list[str] = []
    for kind in options.service or ["ours", "field"]:
        wrong += soak(kind, options.leases, options.seed)
    for line in wrong:
        print(f"WRONG: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    warnings.simplefilter("ignore", ResourceWarning)
    sys.exit(main())
