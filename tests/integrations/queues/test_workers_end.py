"""A suite that is ended from outside leaves none of its workers alive."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.waiting import wait_until

from .workers import is_alive

SUITE = """
import sys, time
from pathlib import Path
from tests.integrations.queues.workers import running_worker
Path("stays.py").write_text("import subprocess, sys, time\\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
    " process_group=0)\\ntime.sleep(600)\\n")
environment = {"XDG_STATE_HOME": ".", "PYTHONPATH": "."}
with running_worker(["stays"], Path("log"), environment) as worker:
    print(worker.pid, flush=True)
    time.sleep(600)
"""


def test_a_suite_that_is_killed_takes_its_workers_along(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[3])
    with subprocess.Popen(
        [sys.executable, "-c", SUITE],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        text=True,
    ) as suite:
        assert suite.stdout is not None
        worker = int(suite.stdout.readline())
        children = Path(f"/proc/{worker}/task/{worker}/children")
        wait_until(lambda: children.read_text().split())
        (child,) = (int(pid) for pid in children.read_text().split())
        suite.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_alive(worker) and not is_alive(child))
