"""A job that takes longer than an hour and burns no AppID: it has a fresh one for each hour.

    python examples/long_job.py

The hours are shortened to four seconds. The job calls `lease.renew(within=...)` between its steps,
where it can be without an AppID for a short time. Near the end of the hour, `renew` gives back the
AppID of this hour, waits until the hour turns, and acquires one of the next hour.
"""

from __future__ import annotations

from collections import Counter
from time import sleep

from appid_manager_client import AppIdClient, Lease
from appid_manager_client.testing import LocalService

HOUR = 4.0
STEP = 0.1
"""Seconds that a step takes. During a step the job must keep its AppID."""


def transcribe(lease: Lease, steps: int) -> Counter[str]:
    """Do the steps. Returns how many were done with each AppID."""
    done: Counter[str] = Counter()
    for _ in range(steps):
        if lease.renew(within=8 * STEP):
            print(f"a new hour: going on with {lease.appid}, {lease.remaining:.1f} s of it left")
        lease.check()
        sleep(STEP)
        done[lease.appid] += 1
    return done


def main() -> None:
    with LocalService(hour_seconds=int(HOUR)) as service, AppIdClient(service.url) as client:
        client.init_product("stt_billing", {f"appid{n}": f"vid{n}" for n in range(1, 7)})
        with client.lease("stt_billing", min_remaining=HOUR / 4) as lease:
            print(f"starting with {lease.appid}, {lease.remaining:.1f} s of its hour left")
            done = transcribe(lease, steps=75)
        for appid, steps in done.items():
            print(f"{appid}: {steps} steps")
        length = HOUR * 1000
        burned = [
            grant["appid"]
            for grant in service.history()
            if grant["stoptime"] // length != grant["starttime"] // length
        ]
        print(f"{len(done)} hours, burned: {burned or 'nothing'}")


if __name__ == "__main__":
    main()
