"""Files locked with `flock`: the lock lives as long as the process that holds it, and is nobody else's after a fork.

Owns the descriptors of such files, their end, and what becomes of them in a forked child. What is written into them,
and what a free lock means, is for the journal. POSIX only.

A forked child's copy of a descriptor shares its parent's lock. While the child keeps it open a killed parent would
look alive; if the child unlocked it a living parent would look dead. So a child closes its copies, without unlocking,
before it does anything else: a parent that is killed in that moment looks dead once the child has run.
"""

from __future__ import annotations

import logging
import os
import stat
import threading

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

__all__ = ["LockedFile", "has_flock", "unlink"]

logger = logging.getLogger(__name__)

has_flock = fcntl is not None

# The guard keeps a fork out while a descriptor is open that isn't in the table yet, or in it and already closed. It is
# re-entrant, as a signal handler may fork.
_guard = threading.RLock()
_open_files: dict[int, LockedFile] = {}


class LockedFile:
    """An open file that a forked child will close. Every operation after `close` does nothing."""

    __slots__ = ("path", "_descriptor", "_lock")

    def __init__(self, path: str, flags: int) -> None:
        self.path = path
        self._lock = threading.RLock()  # guards _descriptor against a use after its end
        with _guard:
            self._descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            _open_files[self._descriptor] = self

    def try_lock(self) -> bool:
        """Whether the lock is ours now."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def is_trusted(self) -> bool:
        """Whether it is a plain file of this user: nobody else decides what we give back."""
        status = os.fstat(self._descriptor)
        return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()

    def is_current(self) -> bool:
        """Whether the name still means this file. A lock on a removed file says nothing."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.lstat(self.path))
        except FileNotFoundError:
            return False

    def read(self, limit: int) -> bytes:
        """The first `limit` bytes."""
        return os.pread(self._descriptor, limit, 0)

    def write(self, data: bytes, offset: int) -> None:
        """Write all of it, or raise `OSError`. Nothing happens when the file is closed, or the parent's."""
        with self._lock:
            if self._descriptor < 0:
                return
            # What a full disk cuts off is tried again for the sake of the error that says why.
            while data:
                written = os.pwrite(self._descriptor, data, offset)
                data, offset = data[written:], offset + written

    def rename(self, path: str) -> None:
        os.rename(self.path, path)
        self.path = path

    def close(self, *, remove: bool = False) -> None:
        """Unlock; with `remove`, after the name is gone, so that whoever gets the lock sees that it is over."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        try:
            if remove:
                unlink(self.path)
        finally:
            with _guard:
                # Gone from the table: a signal handler forked meanwhile, and this is the child.
                if _open_files.pop(descriptor, None) is self:
                    _close(descriptor)

    def disown(self) -> None:
        """In a forked child: it is the parent's alone from now on."""
        self._lock = threading.RLock()  # whoever held the old one doesn't exist here
        self._descriptor = -1


def _before_fork() -> None:
    _guard.acquire()


def _after_fork_in_parent() -> None:
    _guard.release()


def after_fork_in_child() -> None:
    global _guard
    _guard = threading.RLock()
    for descriptor, file in _open_files.items():
        file.disown()
        _close(descriptor)
    _open_files.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=after_fork_in_child,
    )


def _close(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError as error:  # somebody closed everything, as programs do that become daemons
        logger.warning("The descriptor of a locked file was closed by somebody else: %s", error)


def unlink(path: str) -> None:
    """Remove a name that may be gone already; a warning where it can't be removed."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        logger.warning("The file %s can't be removed: %s", path, error.strerror)
