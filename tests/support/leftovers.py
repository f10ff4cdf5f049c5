"""A suite that is ended from outside, even by SIGKILL, takes along all processes that it started.

They carry a mark in their environment. A process beside the suite waits for the suite's end, and
then kills whoever carries it. A server that overwrites its environment is started by
`until_this_thread_ends`. Linux only; elsewhere nothing is done.
"""

from __future__ import annotations

import os
import shutil
import sys
import uuid
from pathlib import Path

MARK = "TEST_SUITE_MARK"

_GUARD = """
import os, select, signal, sys, time
from contextlib import suppress
from pathlib import Path
suite, mark = int(sys.argv[1]), sys.argv[2].encode()
with suppress(ProcessLookupError):
    poll = select.poll()
    poll.register(os.pidfd_open(suite))
    poll.poll()  # until it has ended, however that came
found = True
while found:  # again, for those that were started meanwhile
    found = False
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (process / "environ").read_bytes().split(bytes(1)):
                os.kill(int(process.name), signal.SIGKILL)
                found = True
    time.sleep(0.05)
"""


def leave_nothing_behind() -> None:
    """Have the processes that this one starts from now on killed when it has ended.

    Not if a mark is there already: then this process is one of those.
    """
    if MARK in os.environ or not hasattr(os, "pidfd_open"):
        return
    mark = uuid.uuid4().hex
    command = [sys.executable, "-I", "-S", "-c", _GUARD, str(os.getpid()), f"{MARK}={mark}"]
    # Out of reach of a Ctrl-C, and without the suite's output, which somebody may read to its end.
    quiet = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    os.posix_spawn(sys.executable, command, {}, file_actions=quiet, setpgroup=0)
    os.environ[MARK] = mark


def mark_of_the_suite() -> dict[str, str]:
    """The mark, for a process that is started with an environment of its own."""
    return {name: value for name, value in os.environ.items() if name == MARK}


def until_this_thread_ends() -> list[str]:
    """What a command begins with to be killed at the end of the thread that starts it."""
    setpriv = shutil.which("setpriv")
    return [] if setpriv is None else [setpriv, "--pdeathsig", "KILL"]


def is_alive(pid: int) -> bool:
    """Whether a process runs. One that has ended and that nobody waits for doesn't."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    # Before these stand the pid and the name, which may hold anything.
    return stat.rpartition(")")[2].split()[0] != "Z"
