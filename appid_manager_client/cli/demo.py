"""`appid-manager demo`: workers lease AppIDs from a service whose hours last a few seconds.

It prints what happens as it happens. At the end the service's own history shows whether every
AppID had one holder at a time, once in an hour, and was given back.
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
from .output import format_table, write_json, write_line

HOUR_SECONDS = 4
PRODUCT = "stt_billing"
APPIDS = {"appid1": "vid1", "appid2": "vid2", "appid3": "vid3"}

# In seconds, but for the number of checkouts of each pool worker.
_JOB = 0.6
_MIN_REMAINING = 1.5
_CHECKOUTS = 12
_CHECKOUT = 0.25
_JOIN_WITHIN = 60.0


class Demo:
    """What the parts of the demo share: the service, a client, and the output."""

    def __init__(self, service: LocalService, *, silent: bool) -> None:
        self.service = service
        self.client = AppIdClient(service.url, on_event=self._on_event)
        self.failures: list[str] = []
        self._silent = silent
        self._began = time.monotonic()
        self._first_hour = service.hour.start

    def hour_of(self, time_ms: int) -> int:
        """The number of the demo's hour in which a time lies, counted from 1."""
        return (time_ms - self._first_hour) // (HOUR_SECONDS * 1000) + 1

    def print_heading(self, text: str) -> None:
        """Print the heading of one part."""
        self._print(f"\n{text}")

    def print_event(self, who: str, what: str) -> None:
        """Print what happened, after the time and the hour."""
        elapsed = time.monotonic() - self._began
        hour = self.hour_of(self.service.now_ms)
        self._print(f"  {elapsed:5.1f} s  hour {hour}  {who:<7} {what}")

    def _print(self, text: str) -> None:
        if not self._silent:
            write_line(text)

    def _on_event(self, event: Event) -> None:
        if event.kind is EventKind.WAITING and event.available_at is not None:
            who = threading.current_thread().name
            what = f"waits {event.seconds or 0:.1f} s for the next hour: {event.reason}"
            self.print_event(who, what)

    def run_all(self, jobs: dict[str, Callable[[], None]]) -> None:
        """Run all jobs at the same time, each in a thread of its name, and wait for them."""
        threads = [
            threading.Thread(target=self._run, args=(name, job), name=name, daemon=True)
            for name, job in jobs.items()
        ]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join(_JOIN_WITHIN)
                if thread.is_alive():
                    self.failures.append(f"{thread.name} did not finish")
        except BaseException:
            self.client.close()
            raise

    def _run(self, name: str, job: Callable[[], None]) -> None:
        try:
            job()
        except ClientClosed:
            pass  # the demo was interrupted
        except BrokenPipeError:
            pass  # nobody reads the output; the main thread ends the demo
        except AppIdManagerError as error:
            self.failures.append(f"{name}: {error}")


def demo(arguments: argparse.Namespace) -> int:
    """Run all parts, then check the service's history. Returns the exit code."""
    with LocalService(hour_seconds=HOUR_SECONDS) as service:
        running = Demo(service, silent=arguments.json)
        with running.client:
            running.client.init_product(PRODUCT, APPIDS)
            running.print_heading(
                f"A service at {service.url}, on SQLite, with hours of {HOUR_SECONDS} seconds; "
                f"product {PRODUCT} has {len(APPIDS)} AppIDs."
            )
            for part in PARTS:
                part(running)
            running.failures += [
                f"{pending.appid} could not be given back"
                for pending in running.client.pending_releases
            ]
        findings = check_history(running)
    return _report(findings, as_json=arguments.json)


def _with_blocks(demo: Demo) -> None:
    demo.print_heading("Five workers, three AppIDs:  with client.lease(...) as lease:")

    def work(fails: bool = False) -> None:
        name = threading.current_thread().name
        try:
            with demo.client.lease(PRODUCT, holder=name, min_remaining=_MIN_REMAINING) as lease:
                _do_job(demo, name, lease)
                if fails:
                    raise RuntimeError("the job went wrong")
            demo.print_event(name, f"gave {lease.appid} back")
        except RuntimeError as error:
            demo.print_event(name, f"failed ({error}); {lease.appid} was given back all the same")

    workers: dict[str, Callable[[], None]] = {
        name: work for name in ("ada", "bela", "cleo", "dora", "emil")
    }
    workers["bela"] = lambda: work(fails=True)
    demo.run_all(workers)


def _do_job(demo: Demo, name: str, lease: Lease) -> None:
    left = f"{lease.remaining:.1f} s of the hour left"
    demo.print_event(name, f"has {lease.appid} ({lease.vid}), {left}")
    time.sleep(_JOB)


def _decorator(demo: Demo) -> None:
    demo.print_heading("Four calls of a decorated function:  @uses_appid(...)")

    @uses_appid(PRODUCT, client=demo.client, holder="decorated", min_remaining=_MIN_REMAINING)
    def transcribe(recording: str, lease: Lease = INJECTED) -> None:
        _do_job(demo, recording, lease)

    recordings = [f"{number}.wav" for number in range(1, 5)]
    demo.run_all({name: partial(transcribe, name) for name in recordings})


def _pool(demo: Demo) -> None:
    demo.print_heading("Four workers share a pool of two AppIDs:  with pool.lease() as lease:")
    if demo.client.get_status(PRODUCT)["available"] == 0:
        demo.print_event("pool", "waits for the next hour: every AppID is used up for this one")
    # No lock: of those who count a grant only one has it at a time.
    checkouts: Counter[str] = Counter()

    with demo.client.pool(PRODUCT, max_size=2, holder="pool") as pool:

        def work() -> None:
            for _ in range(_CHECKOUTS):
                with pool.lease() as lease:
                    grant = f"{lease.appid} of hour {demo.hour_of(lease.start_time)}"
                    checkouts[grant] += 1
                    if checkouts[grant] == 1:
                        name = threading.current_thread().name
                        demo.print_event(name, f"is the first with {grant}")
                    time.sleep(_CHECKOUT)

        demo.run_all({name: work for name in ("finn", "gala", "hugo", "ines")})
        stats = pool.get_stats()
    for grant, number in checkouts.items():
        demo.print_event("pool", f"{grant} served {number} checkouts")
    demo.print_event("pool", f"{stats.checkouts} checkouts, {stats.burned} AppID-hours burned")


PARTS: Sequence[Callable[[Demo], None]] = (_with_blocks, _decorator, _pool)


@dataclass(frozen=True, slots=True)
class Findings:
    """What the service's history shows.

    Attributes:
        leases: the history's entries, oldest first.
        hours: for each entry, the hour or hours in which the AppID was held.
        faults: what is wrong.
    """

    leases: list[dict[str, Any]]
    hours: list[str]
    faults: list[str]


def check_history(demo: Demo) -> Findings:
    """Check the history: no AppID twice in an hour, none still in use, every one given back."""
    leases = sorted(demo.service.history(), key=lambda lease: lease["starttime"])
    faults = list(demo.failures)
    holders: dict[tuple[str, int], str] = {}
    hours = []
    for lease in leases:
        appid, stop = lease["appid"], lease["stoptime"]
        if stop is None:
            faults.append(f"{appid} is still in use")
            stop = demo.service.now_ms
        elif lease["ended"] != "released":
            faults.append(f"{appid} was not given back: {lease['ended']}")
        first, last = demo.hour_of(lease["starttime"]), demo.hour_of(stop)
        hours.append(str(first) if first == last else f"{first}-{last}")
        for hour in range(first, last + 1):
            if holders.setdefault((appid, hour), lease["leaseId"]) != lease["leaseId"]:
                faults.append(f"{appid} was handed out twice in hour {hour}")
    if not leases:
        faults.append("nothing was leased")
    return Findings(leases, hours, faults)


def _report(findings: Findings, *, as_json: bool) -> int:
    leases, faults = findings.leases, findings.faults
    if as_json:
        write_json({"ok": not faults, "faults": faults, "leases": leases})
    else:
        write_line("\nWhat the service's history says:\n")
        write_line(format_table(("HOUR", "APPID", "HOLDER", "HELD", "ENDED"), _rows(findings)))
        if faults:
            write_line(f"\n{len(leases)} leases, and this is wrong: {'; '.join(faults)}")
        else:
            write_line(f"\n{len(leases)} leases: no AppID twice in an hour, none in use: ok")
    return ExitCode.FAILURE if faults else ExitCode.OK


def _rows(findings: Findings) -> list[list[object]]:
    return [
        [hour, lease["appid"], lease["holder"] or "-", _held(lease), lease["ended"] or "in use"]
        for hour, lease in zip(findings.hours, findings.leases)
    ]


def _held(lease: dict[str, Any]) -> str:
    if lease["stoptime"] is None:
        return "-"
    return f"{(lease['stoptime'] - lease['starttime']) / 1000:.1f} s"
