"""`appid-manager demo`: the service with hours of a few seconds, workers that lease AppIDs from it, and the proof.

Says what happens as it happens; at the end the service's own history decides whether the promise was kept.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..client import AppIdClient
from ..decorator.decorator import INJECTED, uses_appid
from ..errors import AppIdManagerError, ClientClosed
from ..events import Event, EventKind
from ..lease.held import Lease
from ..testing import LocalService
from .exits import ExitCode
from .output import say, say_json, table

HOUR_SECONDS = 4
PRODUCT = "stt_billing"
APPIDS = {"appid1": "vid1", "appid2": "vid2", "appid3": "vid3"}
# Seconds: what a job takes, what must be left of the hour for it, and the same for many short ones.
_JOB = 0.6
_ENOUGH = 1.5
_CHECKOUTS = 12
_CHECKOUT = 0.25
_PATIENCE = 60.0


class Stage:
    """What the acts of the demo share: the service, a client, the clock on the wall, and one voice."""

    def __init__(self, service: LocalService, *, silent: bool) -> None:
        self.service = service
        self.client = AppIdClient(service.url, on_event=self._heard)
        self.failures: list[str] = []
        self._silent = silent
        self._began = time.monotonic()
        self._first_hour = service.hour.start
        self._lock = threading.Lock()  # one line at a time

    def hour_of(self, moment_ms: int) -> int:
        """The number of the demo's hour in which a moment lies, from 1."""
        return (moment_ms - self._first_hour) // (HOUR_SECONDS * 1000) + 1

    def heading(self, text: str) -> None:
        """Begin an act."""
        self._write(f"\n{text}")

    def tell(self, who: str, what: str) -> None:
        """Say what happened, and when."""
        elapsed = time.monotonic() - self._began
        hour = self.hour_of(self.service.now_ms)
        self._write(f"  {elapsed:5.1f} s  hour {hour}  {who:<7} {what}")

    def _write(self, text: str) -> None:
        if not self._silent:
            with self._lock:
                say(text)

    def _heard(self, event: Event) -> None:
        if event.kind is EventKind.WAITING and event.available_at is not None:
            who = threading.current_thread().name
            self.tell(who, f"waits {event.seconds or 0:.1f} s for the next hour: {event.reason}")

    def play(self, jobs: dict[str, Callable[[], None]]) -> None:
        """Do all jobs at once, each in a thread of its name, and wait for them."""
        threads = [
            threading.Thread(target=self._perform, args=(name, job), name=name, daemon=True)
            for name, job in jobs.items()
        ]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join(_PATIENCE)
                if thread.is_alive():
                    self.failures.append(f"{thread.name} did not finish")
        except BaseException:
            self.client.close()
            raise

    def _perform(self, name: str, job: Callable[[], None]) -> None:
        try:
            job()
        except ClientClosed:
            pass  # the demo was interrupted
        except BrokenPipeError:
            pass  # nobody reads what it says; the main thread notices too
        except AppIdManagerError as error:
            self.failures.append(f"{name}: {error}")


def demo(arguments: argparse.Namespace) -> int:
    """Play all acts, then judge by the service's history."""
    with LocalService(hour_seconds=HOUR_SECONDS) as service:
        stage = Stage(service, silent=arguments.json)
        with stage.client:
            stage.client.init_product(PRODUCT, APPIDS)
            stage.heading(
                f"A service at {service.url}, on SQLite, with hours of {HOUR_SECONDS} seconds; "
                f"product {PRODUCT} has {len(APPIDS)} AppIDs."
            )
            for act in ACTS:
                act(stage)
            stage.failures += [
                f"{left.appid} could not be given back" for left in stage.client.pending_releases
            ]
        verdict = judge(service, stage)
    return _report(verdict, as_json=arguments.json)


def _with_blocks(stage: Stage) -> None:
    stage.heading("Five workers, three AppIDs:  with client.lease(...) as lease:")

    def work(fails: bool = False) -> None:
        name = threading.current_thread().name
        try:
            with stage.client.lease(PRODUCT, holder=name, min_remaining=_ENOUGH) as lease:
                _job(stage, name, lease)
                if fails:
                    raise RuntimeError("the job went wrong")
            stage.tell(name, f"gave {lease.appid} back")
        except RuntimeError as error:
            stage.tell(name, f"failed ({error}); {lease.appid} went back all the same")

    workers: dict[str, Callable[[], None]] = {
        name: work for name in ("ada", "bela", "cleo", "dora", "emil")
    }
    workers["bela"] = lambda: work(fails=True)
    stage.play(workers)


def _job(stage: Stage, name: str, lease: Lease) -> None:
    stage.tell(name, f"has {lease.appid} ({lease.vid}), {lease.remaining:.1f} s of the hour left")
    time.sleep(_JOB)


def _decorated(stage: Stage) -> None:
    stage.heading("Four calls of a decorated function:  @uses_appid(...)")

    @uses_appid(PRODUCT, client=stage.client, holder="decorated", min_remaining=_ENOUGH)
    def transcribe(recording: str, lease: Lease = INJECTED) -> None:
        _job(stage, recording, lease)

    recordings = [f"{number}.wav" for number in range(1, 5)]
    stage.play({name: partial(transcribe, name) for name in recordings})


def _pooled(stage: Stage) -> None:
    stage.heading("Four workers share a pool of two AppIDs:  with pool.lease() as lease:")
    if stage.client.get_status(PRODUCT)["available"] == 0:
        stage.tell("pool", "waits for the next hour: every AppID is used up for this one")
    served: Counter[str] = Counter()
    lock = threading.Lock()  # guards served

    with stage.client.pool(PRODUCT, max_size=2, holder="pool") as pool:

        def work() -> None:
            for _ in range(_CHECKOUTS):
                with pool.lease() as lease:
                    grant = f"{lease.appid} of hour {stage.hour_of(lease.start_time)}"
                    with lock:
                        served[grant] += 1
                        first = served[grant] == 1
                    if first:
                        stage.tell(threading.current_thread().name, f"is the first with {grant}")
                    time.sleep(_CHECKOUT)

        stage.play({name: work for name in ("finn", "gala", "hugo", "ines")})
        stats = pool.get_stats()
    for grant, times in served.items():
        stage.tell("pool", f"{grant} served {times} checkouts")
    stage.tell("pool", f"{stats.checkouts} checkouts, {stats.burned} AppID-hours burned")


ACTS: Sequence[Callable[[Stage], None]] = (_with_blocks, _decorated, _pooled)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the service's history shows: its leases, oldest first, and what is wrong with them."""

    leases: list[dict[str, Any]]
    faults: list[str]
    hours: list[str]


def judge(service: LocalService, stage: Stage) -> Verdict:
    """Look at who had which AppID when: none twice in an hour, none in use any more, all given back."""
    leases = sorted(service.history(), key=lambda lease: lease["starttime"])
    faults = list(stage.failures)
    taken: dict[tuple[str, int], str] = {}
    hours = []
    for lease in leases:
        appid, stop = lease["appid"], lease["stoptime"]
        if stop is None:
            faults.append(f"{appid} is still in use")
            stop = service.now_ms
        elif lease["ended"] != "released":
            faults.append(f"{appid} was not given back: {lease['ended']}")
        first, last = stage.hour_of(lease["starttime"]), stage.hour_of(stop)
        hours.append(str(first) if first == last else f"{first}-{last}")
        for hour in range(first, last + 1):
            other = taken.setdefault((appid, hour), lease["leaseId"])
            if other != lease["leaseId"]:
                faults.append(f"{appid} was handed out twice in hour {hour}")
    if not leases:
        faults.append("nothing was leased")
    return Verdict(leases, faults, hours)


def _report(verdict: Verdict, *, as_json: bool) -> int:
    if as_json:
        say_json({"ok": not verdict.faults, "faults": verdict.faults, "leases": verdict.leases})
    else:
        say("\nWhat the service's history says:\n")
        say(table(("HOUR", "APPID", "HOLDER", "HELD", "ENDED"), _rows(verdict)))
        number = len(verdict.leases)
        if verdict.faults:
            say(f"\n{number} leases, and this is wrong: {'; '.join(verdict.faults)}")
        else:
            say(f"\n{number} leases: no AppID twice in an hour, none in use: ok")
    return ExitCode.FAILURE if verdict.faults else ExitCode.OK


def _rows(verdict: Verdict) -> list[list[object]]:
    return [
        [hour, lease["appid"], lease["holder"] or "-", _held(lease), lease["ended"] or "in use"]
        for hour, lease in zip(verdict.hours, verdict.leases)
    ]


def _held(lease: dict[str, Any]) -> str:
    if lease["stoptime"] is None:
        return "-"
    return f"{(lease['stoptime'] - lease['starttime']) / 1000:.1f} s"
