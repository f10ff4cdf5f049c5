"""What the locks of `journal/` guard: a descriptor, and the list of them for forked children."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from appid_manager_client.journal import lockedfile
from appid_manager_client.journal.lockedfile import LockedFile
from tests.support.switching import Play, Result, Scenes, Setting

SCENES = Scenes()
NEW = os.O_RDWR | os.O_CREAT


def a_directory(stack: Setting) -> Path:
    listing = lockedfile._open_files  # it was made when the module was imported
    lock = stack.watched(listing.lock, "_OpenFiles")
    stack.enter_context(patch.object(listing, "lock", lock))
    return Path(stack.enter_context(tempfile.TemporaryDirectory()))


@SCENES.scene("LockedFile", lockedfile)
def a_file_is_closed_while_it_is_written(stack: Setting) -> Play:
    path = a_directory(stack) / "file"
    file = LockedFile(str(path), NEW)

    def check(*_: Result) -> None:
        assert path.read_bytes() in (b"", b"grant")

    return Play(lambda: file.write(b"grant", 0), file.close, check)


@SCENES.scene("LockedFile", lockedfile)
def a_file_is_closed_twice_and_its_descriptor_used_again(stack: Setting) -> Play:
    directory = a_directory(stack)
    file = LockedFile(str(directory / "file"), NEW)
    others: list[LockedFile] = []

    def close_and_open_another() -> None:
        file.close()
        others.append(LockedFile(str(directory / "other"), NEW))

    def check(*_: Result) -> None:
        others[0].close()
        assert open_files(directory) == []

    return Play(file.close, close_and_open_another, check)


def open_files(directory: Path) -> list[str]:
    """The files of `directory` that this process has open."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue
        if target.startswith(str(directory)):
            found.append(target)
    return found


def a_child_closes_them(directory: Path) -> bool:
    """Fork; returns whether the child had none of them open."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork with threads
        child = os.fork()
    if child == 0:
        os._exit(len(open_files(directory)))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _a_fork_during(name: str, prepare: Callable[[Path], Callable[[], object]]) -> None:
    def play(stack: Setting) -> Play:
        directory = a_directory(stack)
        work = prepare(directory)

        def check(_: Result, closed: Result) -> None:
            assert closed.value, "a copy in a child keeps the lock of a killed parent"

        return Play(work, lambda: a_child_closes_them(directory), check)

    play.__name__ = name
    SCENES.scene("_OpenFiles", lockedfile)(play)


def _opens(directory: Path) -> Callable[[], object]:
    return lambda: LockedFile(str(directory / "file"), NEW)


def _closes(directory: Path) -> Callable[[], object]:
    return LockedFile(str(directory / "file"), NEW).close


_a_fork_during("the_process_forks_while_a_file_is_opened", _opens)
_a_fork_during("the_process_forks_while_a_file_is_closed", _closes)
