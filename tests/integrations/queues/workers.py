"""Workers as real processes, and the thread of conversation between a test and the body of a task in one of them.

A body announces that it runs and what it holds, and then waits for the test's word: nothing is left to sleeping.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from appid_manager_client.testing import LocalService
from tests.support.waiting import PATIENCE, wait_until

WAIT = 60
"""Seconds after which a body that the test forgot ends by itself."""


def started_key(token: str) -> str:
    return f"test:{token}:started"


def word_key(token: str) -> str:
    return f"test:{token}:word"


def announce(connection: redis.Redis, token: str, **facts: Any) -> None:
    """In the body of a task: say that it runs, in which process, and what it holds."""
    connection.rpush(started_key(token), json.dumps({"pid": os.getpid(), **facts}))


def await_word(connection: redis.Redis, token: str) -> str | None:
    """In the body of a task: the test's word."""
    answer = connection.blpop([word_key(token)], timeout=WAIT)
    return None if answer is None else answer[1].decode()


class Conversation:
    """The test's side: one token for each task or job, so that nothing gets mixed up."""

    def __init__(self, connection: redis.Redis, token: str) -> None:
        self._redis = connection
        self.token = token

    def started(self, timeout: float = PATIENCE) -> dict[str, Any]:
        """What the body announced; waits for it."""
        answer = self._redis.blpop([started_key(self.token)], timeout=timeout)
        assert answer is not None, f"no body of {self.token} has started within {timeout:g} s"
        facts: dict[str, Any] = json.loads(answer[1])
        return facts

    def say(self, word: str) -> None:
        self._redis.rpush(word_key(self.token), word)

    @property
    def starts_left(self) -> int:
        """How many announcements nobody has read yet."""
        return self._redis.llen(started_key(self.token))


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

    def ended(self, timeout: float = PATIENCE) -> int:
        """Wait for its end; gives the return code."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the worker has not ended:\n{self.tail()}") from None

    def kill_all(self) -> None:
        """SIGKILL to the worker and every process that it has started."""
        for pid in _session(self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        wait_until(lambda: not _session(self.pid), what="the worker's processes end")

    def wait_for_log(self, text: str) -> None:
        try:
            wait_until(lambda: text in self.log.read_text(errors="replace"), what=repr(text))
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.tail()}") from None

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-60:])

    def journal(self) -> list[str]:
        directory = self.state / "appid-manager" / "journal"
        return sorted(os.listdir(directory)) if directory.exists() else []


@contextmanager
def running_worker(
    command: list[str], directory: Path, environment: dict[str, str]
) -> Iterator[WorkerProcess]:
    """A worker in a process group of its own; at the end nothing of it is left."""
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
    """The worker and all that it has started: RQ gives each job a process group, but never a session, of its own."""
    pids = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # pid (name) state parent group session ...; the name may hold anything
            fields = status.read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader and fields[0] != "Z":
                pids.append(int(status.parent.name))
    return pids


def is_alive(pid: int) -> bool:
    """Whether a process runs. One that has ended and that nobody waits for doesn't."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def worker_environment(service: LocalService, state: Path, **more: str) -> dict[str, str]:
    """The environment of a worker whose default client is configured from it, as in production."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    root = str(Path(__file__).parents[3])
    return {
        **kept,
        "HOME": str(state),
        "XDG_STATE_HOME": str(state),
        "PYTHONPATH": root,
        "PYTHONUNBUFFERED": "1",
        "APPID_MANAGER_URL": service.url,
        **more,
    }


def in_use(service: LocalService, product: str) -> list[str]:
    """The AppIDs of a product that somebody holds."""
    entries = service.status(product)["appids"]
    return [entry["appid"] for entry in entries if entry["status"] == "in_use"]


def hour_of(service: LocalService, moment_ms: int) -> int:
    """The number of the hour that a moment lies in, of a service whose hours are all equally short."""
    hour = service.hour
    return moment_ms // (hour.end - hour.start)


def wait_until_given_back(service: LocalService, product: str, worker: WorkerProcess) -> None:
    """The assertion of every exit: no AppID of the product is in use."""
    try:
        wait_until(lambda: not in_use(service, product), what="the AppID is given back")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{worker.tail()}") from None
