"""Files locked with `flock`: the process that locked one has the lock until it closes it or ends.

Owns the descriptors of these files: how they are opened, locked and closed, and what happens to
them in a forked child. What is written into them, and what a free lock means, is for the journal.
POSIX only.
"""

from __future__ import annotations

import os
import stat
import threading

from ..runtime import forks
from ..text import get_logger

try:
    import fcntl
except ImportError:  # not a POSIX system
    has_flock = False
else:
    has_flock = True

logger = get_logger(__name__)


class LockedFile:
    """An open file that a forked child closes. After `close`, every operation does nothing."""

    __slots__ = ("path", "_descriptor", "_lock")

    def __init__(self, path: str, flags: int) -> None:
        self.path = path
        self._lock = threading.RLock()  # guards _descriptor: nobody uses it after it was closed
        with _open_files.lock:
            self._descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            _open_files.by_descriptor[self._descriptor] = self

    def try_lock(self) -> bool:
        """Lock the file if nobody else has locked it. Returns whether this process has the lock."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def is_trusted(self) -> bool:
        """Return whether it is a plain file of this user.

        Others must not decide what this user's processes release.
        """
        status = os.fstat(self._descriptor)
        return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()

    def is_current(self) -> bool:
        """Return whether its name still leads to this file.

        If not, it was removed, and its lock says nothing.
        """
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.lstat(self.path))
        except FileNotFoundError:
            return False

    def read(self, limit: int) -> bytes:
        """Return the first `limit` bytes."""
        return os.pread(self._descriptor, limit, 0)

    def write(self, data: bytes, offset: int) -> None:
        """Write all of `data`. Does nothing if the file is closed, or belongs to the parent.

        Raises:
            OSError: not all of it could be written.
        """
        with self._lock:
            if self._descriptor < 0:
                return
            # A full disk may take a part without an error. The next try gets the error.
            while data:
                written = os.pwrite(self._descriptor, data, offset)
                data, offset = data[written:], offset + written

    def rename(self, path: str) -> None:
        """Give the file another name."""
        os.rename(self.path, path)
        self.path = path

    def close(self, *, remove: bool = False) -> None:
        """Close the file, which unlocks it. With `remove`, remove its name first.

        So whoever gets the lock of a removed file can see that the file is gone.
        """
        with self._lock:
            descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        try:
            if remove:
                unlink(self.path)
        finally:
            with _open_files.lock:
                # It is missing if a signal handler has forked meanwhile, and this is the child.
                if _open_files.by_descriptor.pop(descriptor, None) is self:
                    _close(descriptor)

    def disown(self) -> None:
        """Leave the file to the parent process. For a forked child."""
        self._lock = threading.RLock()  # the thread that may hold the old one isn't in the child
        self._descriptor = -1


class _OpenFiles:
    """The open files of this process, for a forked child to close.

    A child's copy of a descriptor shares the lock of its parent. While the child kept it open, a
    killed parent would look alive; if the child unlocked it, a living parent would look dead. So a
    child closes its copies, without unlocking, before it does anything else. If the parent is
    killed before that, its locks are free as soon as the child has done it.

    The lock here keeps forks out while a descriptor is open and not listed yet, and while it is
    listed and closed already. It is re-entrant, because a signal handler may fork.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.by_descriptor: dict[int, LockedFile] = {}  # guarded by lock
        forks.register_guard(self)

    def before_fork(self) -> None:
        self.lock.acquire()

    def after_fork_in_parent(self) -> None:
        self.lock.release()

    def after_fork_in_child(self) -> None:
        self.lock = threading.RLock()
        for descriptor, file in self.by_descriptor.items():
            file.disown()
            _close(descriptor)
        self.by_descriptor.clear()


_open_files = _OpenFiles()


def _close(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError as error:  # a program that becomes a daemon may close all descriptors
        logger.warning("other code has closed the descriptor of a locked file: %s", error)


def unlink(path: str) -> None:
    """Remove a name, which may be gone already. Logs a warning if it can't be removed."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        logger.warning("the file %s can't be removed: %s", path, error.strerror)
