"""A suite that is ended from outside leaves none of its processes alive."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.leftovers import MARK, is_alive
from tests.support.waiting import wait_until

SUITE = """
import subprocess, sys, time
from tests.support.leftovers import leave_nothing_behind, mark_of_the_suite
leave_nothing_behind()
STAY = "import time; time.sleep(600)"
worker = (
    "import os, subprocess, sys, time\\n"
    f"job = subprocess.Popen([sys.executable, '-c', {STAY!r}], process_group=0)\\n"
    "print(os.getpid(), job.pid, flush=True)\\ntime.sleep(600)"
)
subprocess.Popen([sys.executable, "-c", worker], start_new_session=True, env=mark_of_the_suite())
time.sleep(600)
"""


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=lambda end: end.name)
def test_a_suite_that_is_ended_takes_its_processes_along(end: signal.Signals) -> None:
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    with subprocess.Popen(
        [sys.executable, "-c", SUITE],
        cwd=Path(__file__).parents[2],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as suite:
        assert suite.stdout is not None
        pids = [int(pid) for pid in suite.stdout.readline().split()]
        assert len(pids) == 2
        suite.send_signal(end)
        wait_until(lambda: not any(map(is_alive, pids)))
