"""The soak of the line: 500 waiters of all kinds for 20 AppIDs, over several hours of 30 s.

    python -m tests.soak.line [--hours N] [--seed N] [--sqlite]

Threads, coroutines, processes and Celery tasks wait, on two replicas on PostgreSQL (or on one
service on SQLite). In each hour a fifth of them is killed with -9, most of them shortly before the
turn, and others come in their place; in every second hour a replica is killed around the turn, and
started again. At the end: nobody who was held over a turn was overtaken, no
AppID that was free lay idle for longer than the grace, and few requests were needed. The exit
status is 1 where that isn't so.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import requests
from celery import Celery

from appid_manager_client import AppIdClient
from tests.integrations.queues.brokers import running_broker
from tests.integrations.queues.workers import parent_of, running_worker
from tests.proof.checker import check_turn
from tests.proof.records import Waited
from tests.soak.line_notes import Asked, read_waits
from tests.soak.line_worker import PRODUCT
from tests.support.postgres import running_postgres
from tests.support.replicas import Replica, running_replicas
from tests.support.waiting import wait_until

HOUR = 30_000
"""Milliseconds. Who waits checks in from 6 s to 2 s before the turn."""
WINDOW = 6_000
GRACE = 2_000
IDLE = GRACE + 200
"""Milliseconds after the turn after which no AppID may lie idle while somebody is held."""
NEAR = 7_000
"""Milliseconds around a turn in which requests are counted: the window, and as much after it."""

APPIDS = 20
CROWDS = {"threads": (6, 40), "coroutines": (4, 40), "single": (40, 1)}
"""Kinds of processes: how many, and how many waiters each has."""
TASKS = 60
KILLED = {"threads": 1, "coroutines": 1, "single": 8}
"""Processes that are killed in each hour; besides, a few children of the task worker are."""
KILLED_CHILDREN = 12


Kill = Callable[[], object]


class Crowd:
    """The processes that wait; each that is killed is replaced later."""

    def __init__(self, urls: list[str], notes: Path, chance: random.Random) -> None:
        self._urls = urls
        self._notes = notes
        self._chance = chance
        self._started = 0
        self.living = {
            kind: [self._start(kind) for _ in range(count)] for kind, (count, _) in CROWDS.items()
        }
        self.killed = 0

    def _start(self, kind: str) -> subprocess.Popen[bytes]:
        self._started += 1
        url = self._urls[self._started % len(self._urls)]
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.soak.line_worker"),
                *(kind, str(CROWDS[kind][1]), str(self._notes)),
            ],
            env={**os.environ, "APPID_MANAGER_URL": url},
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def kill(self, kind: str) -> None:
        """`kill -9` one."""
        process = self.living[kind].pop(self._chance.randrange(len(self.living[kind])))
        process.kill()
        process.communicate()
        self.killed += CROWDS[kind][1]

    def fill_up(self) -> None:
        """Others come in place of those that were killed."""
        for kind, (count, _) in CROWDS.items():
            while len(self.living[kind]) < count:
                self.living[kind].append(self._start(kind))

    def end(self) -> None:
        for kind in CROWDS:
            while self.living[kind]:
                self.kill(kind)


class Found(NamedTuple):
    """What the books say, added up over all turns."""

    turns: int
    held: int
    held_tasks: int
    granted: int
    wrong: list[str]
    requests: dict[bool, list[int]]


def check(waits: list[list[Asked]], history: list[dict[str, Any]], turns: list[int]) -> Found:
    """Compare what the waiters noted with the service's history."""
    wrong: list[str] = []
    requests: dict[bool, list[int]] = {False: [], True: []}
    all_held = all_granted = tasks = 0
    for turn in turns:
        held = [wait for wait in waits if _was_held_over(wait, turn)]
        granted = [wait for wait in waits if 0 <= (_granted_at(wait) or 0) - turn < HOUR // 2]
        stood = [_as_waited(wait) for wait in waits]
        wrong += map(str, check_turn(stood, turn, turn + HOUR // 2))
        if len(held) >= APPIDS:
            wrong += _idle(history, turn)
        for wait in waits:
            if wait[0].ended < turn - NEAR and wait[-1].began >= turn - NEAR:
                near = [a for a in wait if turn - NEAR <= a.began < turn + NEAR]
                requests[wait[0].queued].append(len(near))
        all_held += len(held)
        tasks += sum(wait[0].queued for wait in held)
        all_granted += len(granted)
    return Found(len(turns), all_held, tasks, all_granted, wrong, requests)


def _as_waited(wait: list[Asked]) -> Waited:
    held = tuple((asked.began, asked.ended) for asked in wait if asked.wait)
    return Waited(wait[0].began, wait[0].ended, held, _granted_at(wait))


def _was_held_over(wait: list[Asked], turn: int) -> bool:
    return any(a.wait and a.began < turn <= a.ended for a in wait)


def _granted_at(wait: list[Asked]) -> int | None:
    return next((a.start for a in wait if a.start is not None), None)


def _idle(history: list[dict[str, Any]], turn: int) -> list[str]:
    """The AppIDs that were free at a turn, and were not granted within the grace."""
    in_use = {
        lease["appid"]
        for lease in history
        if lease["starttime"] < turn and (lease["stoptime"] or turn) >= turn
    }
    soon = {lease["appid"] for lease in history if 0 <= lease["starttime"] - turn <= IDLE}
    return [
        f"turn {turn}: {appid} lay idle"
        for appid in sorted({f"a{n}" for n in range(APPIDS)} - in_use - soon)
    ]


def soak(hours: int, seed: int, sqlite: bool, directory: Path) -> tuple[Found, int]:
    """Run it. Returns what was found, and how many waiters were killed."""
    chance = random.Random(seed)
    notes = directory / "notes"
    notes.mkdir()
    with contextlib.ExitStack() as stack:
        database = f"sqlite:///{directory}/appids.db"
        if not sqlite:
            database = stack.enter_context(stack.enter_context(running_postgres()).database())
        options = ("--hour-seconds", str(HOUR // 1000))
        replicas = stack.enter_context(
            running_replicas(database, directory, *options, count=1 if sqlite else 2)
        )
        urls = [replica.url for replica in replicas]
        client = stack.enter_context(AppIdClient(urls[0], 60))
        client.init_product(PRODUCT, {f"a{number}": number for number in range(APPIDS)})
        broker = stack.enter_context(running_broker())
        environment = {
            **os.environ,
            "APPID_MANAGER_URL": urls[-1],
            "BROKER": broker.celery_url(1),
            "NOTES": str(notes),
            "XDG_STATE_HOME": str(directory),
        }
        command = ["celery", "-A", "tests.soak.line_tasks:app", "worker", "-c", "24"]
        tasks = stack.enter_context(running_worker(command, directory / "tasks", environment))
        sender = Celery("sender", broker=broker.celery_url(1), set_as_current=False)
        stack.callback(sender.close)

        def send(count: int) -> None:
            for _ in range(count):
                sender.send_task("tests.soak.line_tasks.stand")

        # Half of the tasks are the first in line, and so are due at the first turns.
        send(TASKS // 2)
        wait_until(lambda: len(_line(urls[0])) >= TASKS // 2 - APPIDS, 60, what="the tasks stand")
        crowd = Crowd(urls, notes, chance)
        stack.callback(crowd.end)
        send(TASKS - TASKS // 2)
        _sleep_until(_next_turn() + HOUR // 2)  # all have started
        turns = []
        for _ in range(hours):
            turn = _next_turn()
            turns.append(turn)
            kills = _kills_before(turn, crowd, chance)
            kills.append((turn - 1_000, lambda: _kill_children(tasks.pid, chance)))
            if len(turns) % 2 == 0:
                # In the window, at the turn, and after it.
                moment = turn + chance.choice([-3_000, -500, 0, 500])
                kills.append((moment, lambda: _kill_and_start(chance.choice(replicas))))
            for at, kill in sorted(kills, key=lambda one: one[0]):
                _sleep_until(at)
                kill()
            _sleep_until(turn + HOUR // 3)
            crowd.fill_up()
            standing = sum("line_tasks" in one["holder"] for one in _line(urls[0]))
            send(max(0, TASKS - standing))
        history = _history(urls[0])
        killed = crowd.killed + KILLED_CHILDREN * hours
    return check(read_waits(notes), history, turns), killed


def _kills_before(turn: int, crowd: Crowd, chance: random.Random) -> list[tuple[float, Kill]]:
    """When which waiters are killed: most between the check-in and a moment after the turn."""
    kills: list[tuple[float, Kill]] = []
    for kind, count in KILLED.items():
        for _ in range(count):
            moment = turn - chance.choice([WINDOW + 4_000, WINDOW, 1_500, 300, -300])
            kills.append((moment + chance.uniform(-500, 500), partial(crowd.kill, kind)))
    return kills


def _kill_and_start(replica: Replica) -> None:
    replica.kill()
    replica.start()


def _kill_children(worker: int, chance: random.Random) -> None:
    children = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if parent_of(int(process.name)) == worker:
                children.append(int(process.name))
    for pid in chance.sample(children, min(len(children), KILLED_CHILDREN)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 9)


def _line(url: str) -> list[dict[str, Any]]:
    return list(_get(url, "line", limit=10_000)["line"])


def _history(url: str) -> list[dict[str, Any]]:
    return list(_get(url, "history", limit=10_000)["leases"])


def _get(url: str, what: str, **query: Any) -> dict[str, Any]:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(
            f"{url}/api/appid/{what}", params={"productName": PRODUCT, **query}, timeout=60
        )
        answer.raise_for_status()
        body: dict[str, Any] = answer.json()
        return body


def _next_turn() -> int:
    now = round(time.time() * 1000)
    return now - now % HOUR + HOUR


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment / 1000 - time.time()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--hours", type=int, default=6)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--sqlite", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="appid-soak-") as directory:
        found, killed = soak(arguments.hours, arguments.seed, arguments.sqlite, Path(directory))
    crowd = sum(count * size for count, size in CROWDS.values()) + TASKS
    print(
        f"seed {arguments.seed}: {crowd} waiters for {APPIDS} AppIDs over {found.turns} turns; "
        f"{killed} killed, {found.held} held over a turn ({found.held_tasks} tasks), "
        f"{found.granted} granted"
    )
    for queued, most in ((False, 2.2), (True, 2.5)):
        counts = found.requests[queued]
        mean = sum(counts) / len(counts) if counts else 0.0
        who = "queue task" if queued else "waiter"
        print(f"  {mean:.2f} requests a {who} near a turn, {max(counts, default=0)} at the most")
        if mean > most:
            found.wrong.append(f"{mean:.2f} requests a {who}, and not {most}")
    for line in found.wrong[:50]:
        print("WRONG:", line)
    print("nobody was overtaken" if not found.wrong else f"{len(found.wrong)} WRONG")
    raise SystemExit(bool(found.wrong) or not found.granted)


if __name__ == "__main__":
    main()
