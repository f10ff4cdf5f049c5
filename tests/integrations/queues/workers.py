"""Workers of either queue as real processes: how they are started, watched, stopped and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from appid_manager_client.testing import LocalService
from tests.support.leftovers import mark_of_the_suite
from tests.support.waiting import PATIENCE, wait_until


@dataclass
class WorkerProcess:
    """A worker of either queue, its log, and the journal that it keeps."""

    process: subprocess.Popen[bytes]
    log: Path
    state: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def wait_for_end(self) -> None:
        wait_until(lambda: not self.alive, what="the worker ends")

    def kill_all(self) -> None:
        """SIGKILL to the worker and every process that it has started."""
        for pid in _session(self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        wait_until(lambda: not _session(self.pid), what="the worker's processes end")

    def wait_for_log(self, text: str) -> None:
        wait_until(lambda: self.logged(text), what=f"the worker logs {text!r}")

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-60:])

    def logged(self, text: str) -> bool:
        return text in self.log.read_text(errors="replace")


@contextmanager
def running_worker(
    command: list[str], directory: Path, environment: dict[str, str]
) -> Iterator[WorkerProcess]:
    """A worker in a session of its own. At the end nothing of it is left."""
    directory.mkdir(parents=True, exist_ok=True)
    state = Path(environment["XDG_STATE_HOME"])
    log = directory / "worker.log"
    with open(log, "ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
        )
    worker = WorkerProcess(process, log, state)
    try:
        yield worker
    finally:
        worker.kill_all()


def _session(leader: int) -> list[int]:
    """The worker and all that it has started.

    RQ gives each job a process group of its own, but never a session.
    """
    pids = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = _fields(int(process.name))
            if int(fields[3]) == leader and fields[0] != "Z":
                pids.append(int(process.name))
    return pids


def parent_of(pid: int) -> int:
    return int(_fields(pid)[1])


def _fields(pid: int) -> list[str]:
    """What the kernel says of a process, from its state on: state, parent, group, session, ..."""
    # Before these stand the pid and the name, which may hold anything.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def worker_environment(service: LocalService, state: Path, **more: str) -> dict[str, str]:
    """The environment of a worker whose default client is configured from it, as in production."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    root = str(Path(__file__).parents[3])
    return {
        **kept,
        **mark_of_the_suite(),
        "HOME": str(state),
        "XDG_STATE_HOME": str(state),
        "PYTHONPATH": root,
        "PYTHONUNBUFFERED": "1",
        "APPID_MANAGER_URL": service.url,
        **more,
    }
