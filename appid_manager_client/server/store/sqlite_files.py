"""The files of an SQLite database: who may read them, and whether they are still the ones opened.

SQLite itself doesn't notice that a file was deleted, replaced or moved while it is open: it goes
on writing to a file that nobody will ever read. No file is opened here: to close a second
descriptor of a database would drop SQLite's locks on it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile

from ..log import logger
from ..operations import Unavailable

_FOR_OTHERS = 0o007
_PRIVATE = 0o600
_RETRY_AFTER = 30
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# More than a commit of a few pages adds to a file.
_SOME_ROOM = 64 * 1024  # bytes

_NOTHING_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})

_Identity = tuple[int, int] | None


class DatabaseFiles:
    """The files of one database: itself, its log (`-wal`) and the index of that (`-shm`).

    Safe for use by many threads.

    Attributes:
        path: the absolute path of the database, as it was given.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        # Where `path` is a link, SQLite keeps its other files beside the file that it names.
        real = os.path.realpath(path)
        self._all = (path, f"{real}-wal", f"{real}-shm")
        self._opened: tuple[_Identity, ...] | None = None
        self._replaced = False

    def create(self) -> None:
        """Make an empty file that only this user can read, if there is none.

        Whatever keeps it from being made, SQLite tells when it opens the file.
        """
        with contextlib.suppress(OSError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, _PRIVATE))

    def remember(self) -> None:
        """Note which files are open now, for `ensure_present`, and keep others from reading them.

        A file that others may read gets the mode 0600. Access for the group alone was given on
        purpose, and stays.
        """
        self._opened = tuple(_identity(path) for path in self._all)
        for path in self._all:
            with contextlib.suppress(FileNotFoundError):
                self._tighten(path)

    def _tighten(self, path: str) -> None:
        if os.name != "posix" or not stat.S_IMODE(os.stat(path).st_mode) & _FOR_OTHERS:
            return
        try:
            os.chmod(path, _PRIVATE)
        except OSError as error:
            logger.warning("others can read %s, and that can't be changed: %s", path, error)
        else:
            logger.warning("others could read %s: it has the mode 0600 now", path)

    def ensure_present(self) -> None:
        """Return if the files are those that were noted. Once they were not, they never are again.

        Raises:
            Unavailable: a file was deleted, replaced or moved.
        """
        if not self._replaced:
            try:
                if tuple(_identity(path) for path in self._all) == self._opened:
                    return
            except OSError as error:
                problem = (error.strerror or type(error).__name__).lower()
                raise Unavailable("away", f"the database can't be reached: {problem}", 2) from None
            self._replaced = True
        raise Unavailable(
            "replaced",
            "the file of the database, or its -wal or -shm, was deleted, replaced or moved while "
            "the service was running: stop the service, put the right file in place, and start it",
            _RETRY_AFTER,
        )

    def have_room(self) -> bool:
        """Return whether something can be added to the files.

        SQLite calls every failed write an I/O error, unless the disk itself is full: a quota, or a
        limit on the size of files, looks like a broken disk.
        """
        limit = _size_limit()
        for path in self._all:
            with contextlib.suppress(OSError):
                if limit is not None and os.stat(path).st_size + _SOME_ROOM > limit:
                    return False
        try:
            with tempfile.TemporaryFile(dir=os.path.dirname(os.path.realpath(self.path))) as probe:
                probe.write(bytes(_SOME_ROOM))
                probe.flush()
                os.fsync(probe.fileno())
        except OSError as error:
            return error.errno not in _NO_ROOM
        return True


def _identity(path: str) -> _Identity:
    try:
        found = os.stat(path)
    except OSError as error:
        if error.errno in _NOTHING_THERE:
            return None
        raise
    return found.st_dev, found.st_ino


def _size_limit() -> int | None:
    """How large a file of this process can be, in bytes; `None` if only the disk limits it."""
    try:
        import resource
    except ImportError:  # not POSIX
        return None
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return None if limit == resource.RLIM_INFINITY else limit
