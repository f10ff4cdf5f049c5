"""The journal: a directory with one file for each lease that a process of this host holds.

Owns the directory and the files in it; the files of a killed holder name what has to be released.
`record.py` has the format of a file, `lockedfile.py` its lock. Nothing here talks to a service:
whether an orphaned AppID is still held, and its release, are for the caller.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from ..errors import ConfigurationError, unusable
from ..text import get_logger
from .lockedfile import LockedFile, has_flock, unlink
from .record import JournalRecord, NewerFormat, grant_line, parse_record, request_line

logger = get_logger(__name__)

# Each file is locked with flock while its lease lives. The kernel frees the lock when the process
# ends, so a dead holder is known without its process id, which another process may have by then.
# Nothing is synced to the disk: what a killed process wrote is in the page cache, which outlives
# the process. A crash of the machine may lose the last files; the ttl ends those leases. This
# works on local file systems, and on POSIX only.

# The ends of the files' names.
_HELD = ".lease"
_NEW = ".new"
_UNREADABLE = ".unreadable"

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL
_RESERVED = 512  # bytes kept free for the grant, so that a full disk can't refuse it later
_LARGEST = 65536  # no entry is longer
_LEFTOVER_AGE = 60.0  # an unlocked temporary file of so many seconds belongs to a killed process
_UNREADABLE_KEPT = 20


def default_directory() -> Path:
    """Return the journal's directory for this user: `appid-manager/journal` in `$XDG_STATE_HOME`.

    Without that variable it is in `~/.local/state`.

    Raises:
        ConfigurationError: this user has no home directory.
    """
    state = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state):  # the XDG specification: ignore a relative path
        try:
            state = os.path.join(Path.home(), ".local", "state")
        except RuntimeError as error:
            raise unusable(
                "journal",
                "needs a directory, and this user has no home directory: "
                "name one, or set XDG_STATE_HOME",
            ) from error
    return Path(state, "appid-manager", "journal")


class Journal:
    """The journal in one directory. All processes of this user may share it.

        journal = Journal("/var/lib/billing/journal")
        entry = journal.open(service=url, product_name="stt_billing", request_id=request_id)
        ...  # acquire
        entry.granted(appid="a1", vid=17, start_time=1700000000000)
        ...  # release
        entry.close()

    A missing directory is made, for this user alone.

    Raises:
        ConfigurationError: the directory can't be made or written, or files in it can't be locked;
            it is a symbolic link, belongs to another user, or everybody may write to it; or this
            is not a POSIX system.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        if not has_flock:
            raise unusable(
                "journal",
                f"{os.fspath(directory)!r} needs flock, which only POSIX systems have: "
                "use no journal here",
            )
        if not os.fspath(directory):
            raise unusable("journal", "must name a directory, not ''")
        try:
            self.directory = Path(directory).expanduser().absolute()
        except RuntimeError as error:
            raise unusable(
                "journal", f"directory {os.fspath(directory)!r} can't be found: {error}"
            ) from error
        self._prefix = f"{self.directory}{os.sep}"
        self._warned: set[str] = set()  # paths that a warning was logged about: one for each
        self._prepare()

    def __repr__(self) -> str:
        return f"Journal({str(self.directory)!r})"

    def open(
        self, *, service: str, product_name: str, request_id: str, holder: str | None = None
    ) -> JournalEntry:
        """Write down that a lease is about to be acquired. Call it before the acquire is sent.

        Raises:
            ConfigurationError: the file can't be written (a full disk, a read-only directory).
        """
        created_ms = int(time.time() * 1000)
        line = request_line(JournalRecord(service, product_name, request_id, holder, created_ms))
        try:
            for _ in range(3):
                file = self._create(line)
                if file is not None:
                    return JournalEntry(file, len(line))
                _make_private(self.directory)  # others may have removed all of it
        except OSError as error:
            raise self._unusable(f"can't be written: {error.strerror}") from error
        raise self._unusable("loses its files as soon as they are written")

    def orphaned(self, service: str | None = None) -> Iterator[OrphanedEntry]:
        """Iterate over the entries of dead holders: of one service (its base URL), or of all.

        Each entry is locked while the body of the loop works on it, so that only one of many
        reapers gets it. After that the next sweep finds it again, unless the body called `done()`.
        Files of living holders and of other services are left alone. An unreadable file is renamed,
        with a warning.

            for entry in journal.orphaned(client.base_url):
                ...  # ask the service, release
                entry.done()
        """
        for name in self._names():
            path = self._prefix + name
            if name.endswith(_NEW):
                self._remove_leftover(path)
            elif name.endswith(_HELD):
                file = self._open_existing(path)
                if file is None:
                    continue
                try:
                    record = self._lock_and_read(file, service)
                    if record is not None:
                        yield OrphanedEntry(file, record)
                finally:
                    file.close()

    def _prepare(self) -> None:
        """Make the directory if it is missing, and check that leases can be written down in it."""
        try:
            _make_private(self.directory)
            status = os.lstat(self.directory)
        except OSError as error:
            raise self._unusable(f"can't be made: {error.strerror}") from error
        if stat.S_ISLNK(status.st_mode):
            raise self._unusable("is a symbolic link; name the directory itself")
        if not stat.S_ISDIR(status.st_mode):
            raise self._unusable("is not a directory")
        if status.st_uid != os.geteuid():
            raise self._unusable(
                f"belongs to user {status.st_uid}; every user needs a journal of their own"
            )
        if status.st_mode & stat.S_IWOTH:
            raise self._unusable("can be written by everybody; chmod o-w, or name another one")
        try:
            # Tried now, so that the user hears here, and not at the first lease, that it fails.
            file = LockedFile(self._prefix + os.urandom(16).hex() + _NEW, _CREATE)
            try:
                file.try_lock()
                file.write(b" " * _RESERVED, 0)
            finally:
                file.close(remove=True)
        except OSError as error:
            raise self._unusable(f"can't be used: {error.strerror}") from error

    def _unusable(self, why: str) -> ConfigurationError:
        return unusable("journal", f"directory {str(self.directory)!r} {why}")

    def _create(self, line: bytes) -> LockedFile | None:
        """Return a new file: locked, complete, and under its final name.

        It gets that name last, because under its final name a file without a lock means a dead
        holder. `None` means that other code has removed it meanwhile.
        """
        stem = self._prefix + os.urandom(16).hex()
        try:
            file = LockedFile(stem + _NEW, _CREATE)
        except FileNotFoundError:
            return None
        try:
            if file.try_lock():
                file.write(line + b" " * _RESERVED, 0)
                file.rename(stem + _HELD)
                return file
        except FileNotFoundError:
            pass
        except BaseException:
            file.close(remove=True)
            raise
        file.close()
        return None

    def _names(self) -> list[str]:
        try:
            return sorted(os.listdir(self.directory))
        except FileNotFoundError:  # others have removed it; the next entry makes it again
            return []
        except OSError as error:
            self._warn_once(str(self.directory), f"can't be read: {error.strerror}")
            return []

    def _open_existing(self, path: str) -> LockedFile | None:
        try:
            file = LockedFile(path, os.O_RDWR | os.O_NONBLOCK)
        except FileNotFoundError:  # its holder, or another reaper, has removed it
            return None
        except OSError as error:
            self._warn_once(path, f"can't be opened: {error.strerror}")
            return None
        if not file.is_trusted():
            file.close()
            self._warn_once(path, "isn't a plain file of this user")
            return None
        return file

    def _lock_and_read(self, file: LockedFile, service: str | None) -> JournalRecord | None:
        """Lock an orphaned file of this service, and return its record.

        `None` means that its holder lives, or that the file is gone, unreadable, or of another
        service.
        """
        try:
            # The service in a file never changes. It is read first, without the lock, so that the
            # reapers of other services don't find the file locked.
            record = parse_record(file.read(_LARGEST))
            if record is not None and service not in (None, record.service):
                return None
            if not (file.try_lock() and file.is_current()):
                return None
            record = parse_record(file.read(_LARGEST))  # the grant may have come meanwhile
            if record is None:
                self._rename_unreadable(file)
            return record
        except NewerFormat:
            self._warn_once(file.path, "was written by a newer version of this package")
        except OSError as error:
            self._warn_once(file.path, f"can't be read: {error.strerror}")
        return None

    def _remove_leftover(self, path: str) -> None:
        """Remove the temporary file of a process that was killed before it sent the acquire."""
        try:
            if abs(time.time() - os.stat(path).st_mtime) < _LEFTOVER_AGE:
                return
        except OSError:  # it was renamed or removed: its process lives
            return
        file = self._open_existing(path)
        if file is None:
            return
        try:
            if file.try_lock() and file.is_current():
                file.close(remove=True)
        finally:
            file.close()

    def _rename_unreadable(self, file: LockedFile) -> None:
        """Give an unreadable file another name. Of many such files the latest ones are kept."""
        path = file.path
        file.rename(path.removesuffix(_HELD) + _UNREADABLE)
        logger.warning("the journal's file %s can't be read; it is kept as %s", path, file.path)
        names = [name for name in self._names() if name.endswith(_UNREADABLE)]
        if len(names) > _UNREADABLE_KEPT:
            for name in sorted(names, key=self._modified)[:-_UNREADABLE_KEPT]:
                unlink(self._prefix + name)

    def _modified(self, name: str) -> float:
        try:
            return os.stat(self._prefix + name).st_mtime
        except OSError:
            return 0.0

    def _warn_once(self, path: str, why: str) -> None:
        if path not in self._warned:
            self._warned.add(path)
            logger.warning("the journal skips %s: it %s", path, why)


class JournalEntry:
    """The file of one lease that this process holds. It ends once, by `close` or `leave`.

    In a forked child it still belongs to the parent: there every method does nothing.
    """

    __slots__ = ("_file", "_grant_offset")

    def __init__(self, file: LockedFile, grant_offset: int) -> None:
        self._file = file
        self._grant_offset = grant_offset

    def __repr__(self) -> str:
        return f"JournalEntry({self._file.path!r})"

    def granted(
        self, *, appid: str, vid: str | int, start_time: int, lease_id: str | None = None
    ) -> None:
        """Add what the service granted. If that can't be written, a warning is logged.

        It is no error, because the AppID is held by now: a lease that isn't in the journal is
        better than a lost one.
        """
        line = grant_line(appid=appid, vid=vid, start_time=start_time, lease_id=lease_id)
        try:
            self._file.write(line, self._grant_offset)
        except OSError as error:
            logger.warning(
                "the journal's file %s can't be written (%s): "
                "nobody releases AppID %s if this process is killed",
                self._file.path,
                error.strerror,
                appid,
            )

    def close(self) -> None:
        """Remove the file: the lease is over. Call it after the release was confirmed."""
        self._file.close(remove=True)

    def leave(self) -> None:
        """Unlock the file, and leave it for a reaper: the lease could not be released."""
        self._file.close()


class OrphanedEntry:
    """The file of a dead holder, locked by this process. `record` is what it says."""

    __slots__ = ("_file", "record")

    def __init__(self, file: LockedFile, record: JournalRecord) -> None:
        self._file = file
        self.record = record

    def __repr__(self) -> str:
        return f"OrphanedEntry({self.record!r})"

    def done(self) -> None:
        """Remove the file: the lease was released, or was not held any more."""
        self._file.close(remove=True)


def _make_private(directory: Path) -> None:
    """Make a directory and its missing parents for this user alone. Changes nothing that exists."""
    if os.path.lexists(directory):
        return
    _make_private(directory.parent)
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:  # another process was faster
        pass
