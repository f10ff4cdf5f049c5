"""The soak of queues: 500 Celery tasks for 100 AppIDs over several short hours; some fail or die.

    python -m tests.soak.queued_tasks [--tasks N] [--appids N] [--hour SECONDS] [--workers N]

At the end every task has run or failed for its own reason, no AppID is in use, and the service's
history shows that none was used twice in an hour or held by two. Otherwise it exits with status 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import redis
from celery import Celery
from celery.states import READY_STATES

from appid_manager_client import AppIdClient
from appid_manager_client.testing import LocalService
from tests.integrations.queues.brokers import Broker, running_broker
from tests.integrations.queues.workers import WorkerProcess, running_worker, worker_environment
from tests.soak import plan
from tests.soak.accounts import local_spells, wrongs
from tests.soak.plan import PRODUCT
from tests.support.waiting import wait_until


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak.queued_tasks", description="The soak of queues."
    )
    parser.add_argument("--tasks", type=int, default=500)
    parser.add_argument("--appids", type=int, default=100)
    parser.add_argument("--hour", type=int, default=10, help="seconds in an hour of the service")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with ExitStack() as stack:
        service = stack.enter_context(LocalService(hour_seconds=options.hour))
        broker = stack.enter_context(running_broker())
        with AppIdClient(service.url) as client:
            client.init_product(PRODUCT, {f"appid{n}": n for n in range(options.appids)})
        began = time.monotonic()
        with running_workers(options.workers, service, broker) as workers:
            states, runs = work_off(options.tasks, options.hour, broker)
            wait_until(lambda: all_released(service), what="all AppIDs are released")
            logs = "".join(worker.log.read_text(errors="replace") for worker in workers)
        seconds = time.monotonic() - began
        wrong = report(service, states, runs, logs, seconds)
    for line in wrong:
        print(f"WRONG: {line}")
    return 1 if wrong else 0


@contextmanager
def running_workers(
    count: int, service: LocalService, broker: Broker
) -> Iterator[list[WorkerProcess]]:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="appid-soak-")))
        state = directory / "state"
        state.mkdir()
        environment = worker_environment(
            service, state, BROKER=broker.celery_url(1), NOTES=broker.redis_url(0)
        )
        command = ["celery", "-A", "tests.soak.tasks:app", "worker", "-c", "4", "-l", "INFO"]
        yield [
            stack.enter_context(
                running_worker([*command, "-n", f"soak{n}@here"], directory / str(n), environment)
            )
            for n in range(count)
        ]


def work_off(count: int, hour: float, broker: Broker) -> tuple[list[dict[str, Any]], list[int]]:
    """Send the tasks and wait until all have ended.

    Returns how each ended, and how often each body has run.
    """
    app = Celery("sender", broker=broker.celery_url(1), set_as_current=False)
    results = Celery("results", backend=broker.celery_url(1), set_as_current=False)
    notes = redis.Redis.from_url(broker.redis_url(0))
    ids = []
    for number in range(count):
        late = "_late" if plan.comes_back(number) else ""
        ids.append(app.send_task(f"tests.soak.tasks.work{late}", [number]).id)
    pending = set(ids)

    def all_ended() -> bool:
        time.sleep(0.3)
        for task in list(pending):
            if results.backend.get_task_meta(task)["status"] in READY_STATES:
                pending.discard(task)
        return not pending

    wait_until(all_ended, 120 + 20 * hour, what="all tasks end")
    states = [results.backend.get_task_meta(task) for task in ids]
    runs = [int(notes.get(f"runs:{number}") or 0) for number in range(count)]
    for closing in (app, results, notes):
        closing.close()
    return states, runs


def report(
    service: LocalService,
    states: list[dict[str, Any]],
    runs: list[int],
    logs: str,
    seconds: float,
) -> list[str]:
    """Print the figures. Returns what is not as it has to be."""
    hour = service.hour
    had = local_spells(service, PRODUCT)
    ended = Counter(lease["ended"] for lease in service.history(PRODUCT))
    kinds = Counter(kind_of(meta) for meta in states)
    hours = sorted(Counter(spell.hour for spell in had).items())
    killed = sum(map(plan.is_killed, range(len(states))))
    length = (hour.end - hour.start) / 1000
    print(f"{len(states)} tasks in {seconds:.0f} s and {len(hours)} hours of {length:g} s")
    print("  ended:          " + ", ".join(f"{n} {kind}" for kind, n in kinds.most_common()))
    print(f"  bodies run:     {sum(runs)}, killed in their middle: {killed}")
    print(f"  leases:         {len(had)}, " + ", ".join(f"{n} {how}" for how, n in ended.items()))
    print(f"  swept up:       {logs.count('which a dead process held (')}")
    print(f"  rescheduled:    {logs.count('waits for an AppID of')} times")
    print(f"  AppIDs by hour: {', '.join(f'{n}: {uses}' for n, (_, uses) in enumerate(hours, 1))}")
    wrong = wrongs(had)
    for number, (meta, times) in enumerate(zip(states, runs)):
        expected = plan.end(number)
        if kind_of(meta) != expected:
            wrong.append(f"task {number} ended with {kind_of(meta)}, not {expected}")
        if times != plan.runs(number):
            wrong.append(f"the body of task {number} ran {times} times")
    return wrong


def all_released(service: LocalService) -> bool:
    return all(spell.stop is not None for spell in local_spells(service, PRODUCT))


def kind_of(meta: dict[str, Any]) -> str:
    return str(meta["status"] if meta["status"] == "SUCCESS" else type(meta["result"]).__name__)


if __name__ == "__main__":
    sys.exit(main())
