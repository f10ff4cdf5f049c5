"""What the processes of the journal's tests run.

    python -m tests.chaos.journal_process ROLE DIRECTORY ...

Each prints what it did, a line for each step, and ends when its standard input ends, or by a kill.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

from appid_manager_client.journal.journal import Journal, JournalEntry

SERVICE = "http://127.0.0.1:5000"


def say(*words: object) -> None:
    # One write for each line, so that a kill can't cut it.
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def hold(journal: Journal, request_id: str, grant: bool = True) -> JournalEntry:
    entry = journal.open(
        service=SERVICE, product_name="stt", request_id=request_id, holder=str(os.getpid())
    )
    if grant:
        entry.granted(appid=f"appid-of-{request_id}", vid=1, start_time=1, lease_id=None)
    return entry


def inherited(directory: Path) -> list[str]:
    """The files of the journal that this process has open."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            continue
        if target.startswith(f"{directory}/"):
            found.append(target)
    return found


def holder(journal: Journal, count: str) -> None:
    """Hold some leases until the end of the input, then leave without giving them back."""
    entries = [hold(journal, f"{os.getpid()}-{number}") for number in range(int(count))]
    say("holding", len(entries))
    sys.stdin.read()
    os._exit(0)


def churner(journal: Journal) -> None:
    """Open and close entries for ever, as fast as possible; hold one all the time."""
    hold(journal, f"{os.getpid()}-kept")
    say("holding")
    while True:
        hold(journal, uuid.uuid4().hex).close()


def living(journal: Journal, seconds: str) -> None:
    """Do as the churner for some seconds; then give everything back and print how much it was."""
    kept, count, end = (
        hold(journal, f"living-{os.getpid()}-kept"),
        0,
        time.monotonic() + float(seconds),
    )
    say("holding")
    while time.monotonic() < end:
        hold(journal, f"living-{os.getpid()}-{count}").close()
        count += 1
    kept.close()
    say("closed", count)


def reaper(journal: Journal) -> None:
    """Sweep until the input ends, and print each entry that the journal handed out."""
    ended = threading.Event()

    def listen() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=listen, daemon=True).start()
    say("sweeping")
    while not ended.is_set():
        for entry in journal.orphaned(SERVICE):
            say("got", entry.record.request_id, entry.record.appid)
            entry.done()
        ended.wait(0.002)


def forker(journal: Journal) -> None:
    """Hold two leases, and fork a child that lives on and tries what a child must not do."""
    first, second = hold(journal, "parent-1"), hold(journal, "parent-2")
    child = os.fork()
    if child == 0:
        before = len(inherited(journal.directory))
        own = hold(journal, "child")  # it gets the descriptor that was the parent's
        for entry in (first, second):
            entry.granted(appid="of-the-child", vid=2, start_time=2)
        first.close()
        second.leave()
        say("child", os.getpid(), before)
        sys.stdin.read()
        own.close()
        os._exit(0)
    sys.stdin.read()
    os._exit(0)


def fork_storm(journal: Journal, forks: str) -> None:
    """Fork while threads open and close entries and sweep.

    Print how many children had a file of the journal open: it must be none.
    """
    end = threading.Event()
    for number in range(3):
        hold(journal, f"orphaned-{number}").leave()

    def churn() -> None:
        while not end.is_set():
            hold(journal, "churned").close()

    def sweep() -> None:
        while not end.is_set():
            for _ in journal.orphaned():
                pass

    threads = [threading.Thread(target=work) for work in (churn, churn, churn, sweep)]
    for thread in threads:
        thread.start()
    dirty = 0
    for _ in range(int(forks)):
        child = os.fork()
        if child == 0:
            os._exit(1 if inherited(journal.directory) else 0)
        dirty += os.waitpid(child, 0)[1] != 0
    end.set()
    for thread in threads:
        thread.join()
    say("dirty", dirty)


def execer(journal: Journal) -> None:
    """Start a program while a lease is held, and print how many files of the journal it has."""
    entry = hold(journal, "held")
    program = (
        "import os\n"
        "for fd in os.listdir('/proc/self/fd'): print(os.path.realpath(f'/proc/self/fd/{fd}'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], close_fds=False, capture_output=True, text=True, check=True
    )
    say("inherited", done.stdout.count(str(journal.directory)))
    entry.close()


ROLES = {
    role.__name__: role for role in (holder, churner, living, reaper, forker, fork_storm, execer)
}

if __name__ == "__main__":
    ROLES[sys.argv[1]](Journal(sys.argv[2]), *sys.argv[3:])
