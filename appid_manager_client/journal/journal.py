"""The journal: on disk, for each lease of this host, what is needed to give it back when its holder was killed.

Owns the directory, the files, their locks, and what becomes of them at a fork. Whether an AppID that an abandoned
file names is still held, and giving it back, is for the caller to find out; nothing here talks to a service.

How a killed holder is known: each file is locked with `flock` as long as its lease lives, and the kernel frees the
lock with the process, so there is no pid to be fooled by. Nothing is synced to the disk: what a killed process wrote
stays in the page cache, which outlives it. A crash of the machine may lose the last files; the `ttl` covers those.
Local file systems on POSIX only.
"""

from __future__ import annotations

import json
import logging
import os
import stat
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from .lockedfile import LockedFile, has_flock, unlink

__all__ = ["AbandonedEntry", "Journal", "JournalEntry", "JournalRecord", "default_directory"]

logger = logging.getLogger(__name__)

_HELD = ".lease"
_NEW = ".new"
_UNREADABLE = ".unreadable"

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL
_FORMAT = 1
_RESERVED = 512  # bytes kept free for the grant, so that a full disk can't refuse it later
_LARGEST = 65536  # no entry is longer
_LEFTOVER_AGE = 60.0  # seconds from which an unlocked temporary file is somebody's last act
_UNREADABLE_KEPT = 20


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """What a file of the journal says. The last four are `None` when its holder died before a grant was recorded.

    `created_ms` is on the clock of this machine, `start_time` on that of the service; both are in
    milliseconds since the Unix epoch.
    """

    service: str
    product_name: str
    request_id: str
    holder: str | None
    created_ms: int
    appid: str | None = None
    vid: str | int | None = None
    start_time: int | None = None
    lease_id: str | None = None


def default_directory() -> Path:
    """The journal of this user: `appid-manager/journal` in `$XDG_STATE_HOME`, or else in `~/.local/state`."""
    state = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state):  # the XDG specification: a relative path is to be ignored
        try:
            state = os.path.join(Path.home(), ".local", "state")
        except RuntimeError as error:
            raise ConfigurationError(
                "there is no home directory to keep the journal in; set XDG_STATE_HOME, or give the journal a directory"
            ) from error
    return Path(state, "appid-manager", "journal")


class Journal:
    """The journal in one directory, which any number of processes of this user share.

    journal = Journal("/var/lib/billing/journal")
    entry = journal.open(service=url, product_name="stt_billing", request_id=request_id)
    ...  # acquire
    entry.granted(appid="a1", vid=17, start_time=1700000000000)
    ...  # release
    entry.close()

    The directory is made, for this user alone, when it is missing.

    Raises:
        ConfigurationError: the directory can't be made, written or locked in; it is a symbolic link, belongs to
            somebody else, or everybody may write to it; or this is no POSIX system.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        if not has_flock:
            raise ConfigurationError(
                f"the journal {os.fspath(directory)!r} needs flock, which only POSIX systems have; use no journal here"
            )
        if not os.fspath(directory):
            raise ConfigurationError("the journal's directory is empty text; name a directory")
        try:
            self.directory = Path(directory).expanduser().absolute()
        except RuntimeError as error:
            raise ConfigurationError(f"the journal's directory {directory!r}: {error}") from error
        self._prefix = f"{self.directory}{os.sep}"
        self._said: set[str] = set()  # names that were complained about; each once
        self._prepare()

    def __repr__(self) -> str:
        return f"Journal({str(self.directory)!r})"

    def open(
        self, *, service: str, product_name: str, request_id: str, holder: str | None = None
    ) -> JournalEntry:
        """Write down that a lease is about to be acquired. To be called before the acquire is sent.

        Raises:
            ConfigurationError: the file can't be written (a full disk, a directory that has gone read-only).
        """
        head = _line(
            {
                "format": _FORMAT,
                "service": service,
                "product": product_name,
                "request": request_id,
                "holder": holder,
                "created": int(time.time() * 1000),
            }
        )
        try:
            for _ in range(3):
                file = self._create(head)
                if file is not None:
                    return JournalEntry(file, len(head))
                _make_private(self.directory)  # somebody tidied up, perhaps all of it
        except OSError as error:
            raise self._unusable(f"can't be written: {error.strerror}") from error
        raise self._unusable("loses its files as soon as they are written")

    def abandoned(self, service: str | None = None) -> Iterator[AbandonedEntry]:
        """The entries of holders that are dead, those of one service (its base URL) or of all.

        Each is locked for as long as the loop's body works on it, so that of many reapers exactly one gets
        it; after that it stays for the next sweep unless the body called its `done()`. Files of
        living holders and of other services are left alone. What can't be read is set aside with a warning.

        for entry in journal.abandoned(client.base_url):
            ...  # ask the service, give back
            entry.done()
        """
        for name in self._names():
            path = self._prefix + name
            if name.endswith(_NEW):
                self._sweep_leftover(path)
            elif name.endswith(_HELD):
                file = self._open_existing(path)
                if file is None:
                    continue
                try:
                    record = self._take(file, service)
                    if record is not None:
                        yield AbandonedEntry(file, record)
                finally:
                    file.close()

    def _prepare(self) -> None:
        try:
            _make_private(self.directory)
            status = os.lstat(self.directory)
        except OSError as error:
            raise self._unusable(f"can't be made: {error.strerror}") from error
        if stat.S_ISLNK(status.st_mode):
            raise self._unusable("is a symbolic link; name the directory itself")
        if not stat.S_ISDIR(status.st_mode):
            raise self._unusable("is no directory")
        if status.st_uid != os.geteuid():
            raise self._unusable(f"belongs to user {status.st_uid}; each user needs a journal")
        if status.st_mode & stat.S_IWOTH:
            raise self._unusable("can be written by everybody; chmod o-w, or name another")
        try:
            # Tried once, so that a place where no lease could be written down shows here.
            file = LockedFile(self._prefix + os.urandom(16).hex() + _NEW, _CREATE)
            try:
                file.try_lock()
                file.write(b" " * _RESERVED, 0)
            finally:
                file.close(remove=True)
        except OSError as error:
            raise self._unusable(f"can't be used: {error.strerror}") from error

    def _unusable(self, why: str) -> ConfigurationError:
        return ConfigurationError(f"the journal's directory {str(self.directory)!r} {why}")

    def _create(self, head: bytes) -> LockedFile | None:
        """A new file, locked, complete and in its place; `None` when somebody swept it away meanwhile.

        Under its final name a file without a lock means a dead holder: it gets that name last.
        """
        stem = self._prefix + os.urandom(16).hex()
        try:
            file = LockedFile(stem + _NEW, _CREATE)
        except FileNotFoundError:
            return None
        try:
            if file.try_lock():
                file.write(head + b" " * _RESERVED, 0)
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
        except FileNotFoundError:  # tidied away; the next entry makes it again
            return []
        except OSError as error:
            self._complain(str(self.directory), f"can't be read: {error.strerror}")
            return []

    def _open_existing(self, path: str) -> LockedFile | None:
        try:
            file = LockedFile(path, os.O_RDWR | os.O_NONBLOCK)
        except FileNotFoundError:  # its holder, or another reaper, was done with it
            return None
        except OSError as error:
            self._complain(path, f"can't be opened: {error.strerror}")
            return None
        if not file.is_trusted():
            file.close()
            self._complain(path, "isn't a file of this user")
            return None
        return file

    def _take(self, file: LockedFile, service: str | None) -> JournalRecord | None:
        """Lock a file and read it; `None` when it is alive, gone, unreadable or about another service."""
        try:
            # What a file says of its service never changes: other services' reapers aren't disturbed by a lock.
            record = _parse(file.read(_LARGEST))
            if record is not None and service not in (None, record.service):
                return None
            if not (file.try_lock() and file.is_current()):
                return None
            record = _parse(file.read(_LARGEST))  # again: the grant may have come meanwhile
            if record is None:
                self._set_aside(file)
            return record
        except _NewerFormat:
            self._complain(file.path, "was written by a newer version of this package")
        except OSError as error:
            self._complain(file.path, f"can't be read: {error.strerror}")
        return None

    def _sweep_leftover(self, path: str) -> None:
        """Remove the temporary file of a process that was killed before it sent anything."""
        try:
            if abs(time.time() - os.stat(path).st_mtime) < _LEFTOVER_AGE:
                return
        except OSError:  # renamed or removed: there was somebody
            return
        file = self._open_existing(path)
        if file is None:
            return
        try:
            if file.try_lock() and file.is_current():
                file.close(remove=True)
        finally:
            file.close()

    def _set_aside(self, file: LockedFile) -> None:
        path = file.path
        file.rename(path.removesuffix(_HELD) + _UNREADABLE)
        logger.warning("The journal's file %s can't be read; it is kept as %s", path, file.path)
        names = [name for name in self._names() if name.endswith(_UNREADABLE)]
        if len(names) > _UNREADABLE_KEPT:
            for name in sorted(names, key=self._modified)[:-_UNREADABLE_KEPT]:
                unlink(self._prefix + name)

    def _modified(self, name: str) -> float:
        try:
            return os.stat(self._prefix + name).st_mtime
        except OSError:
            return 0.0

    def _complain(self, path: str, why: str) -> None:
        if path not in self._said:
            self._said.add(path)
            logger.warning("The journal skips %s: it %s", path, why)


class JournalEntry:
    """The file of one lease that this process holds. Ends once, by `close` or `leave`.

    In a forked child it is still the parent's: there every method does nothing.
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
        """Add what the service granted. When it can't be written that is a warning, and no error.

        The AppID is held by now, and a lease that isn't in the journal beats a lost one.
        """
        line = _line({"appid": appid, "vid": vid, "start": start_time, "lease": lease_id})
        try:
            self._file.write(line, self._grant_offset)
        except OSError as error:
            logger.warning(
                "The journal's file %s can't be written (%s): nobody gives back AppID %s if this process is killed",
                self._file.path,
                error.strerror,
                appid,
            )

    def close(self) -> None:
        """The lease is over: remove the file. To be called after the release was confirmed."""
        self._file.close(remove=True)

    def leave(self) -> None:
        """The lease could not be given back: leave the file, unlocked, for a reaper."""
        self._file.close()


class AbandonedEntry:
    """The file of a holder that is dead, locked by us. `record` is what it says."""

    __slots__ = ("_file", "record")

    def __init__(self, file: LockedFile, record: JournalRecord) -> None:
        self._file = file
        self.record = record

    def __repr__(self) -> str:
        return f"AbandonedEntry({self.record!r})"

    def done(self) -> None:
        """The lease is given back, or was no longer held: remove the file."""
        self._file.close(remove=True)


def _make_private(directory: Path) -> None:
    """Make a directory and its missing parents for this user alone; leave what exists as it is."""
    if os.path.lexists(directory):
        return
    _make_private(directory.parent)
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:  # another process was faster
        pass


# The format: a line for the request, written before the file gets its name, and one for the grant, written into the
# space kept free after it. A line is JSON, a space and its checksum: a torn one is seen, and taken for none.


class _NewerFormat(Exception):
    pass


_encode = json.JSONEncoder(separators=(",", ":")).encode


def _line(fields: dict[str, Any]) -> bytes:
    text = _encode(fields).encode("ascii")
    return b"%s %08x\n" % (text, zlib.crc32(text))


def _parse_line(line: bytes) -> dict[str, Any] | None:
    text, _, checksum = line.rpartition(b" ")
    if not text or checksum != b"%08x" % zlib.crc32(text):
        return None
    try:
        fields = json.loads(text)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None


def _parse(data: bytes) -> JournalRecord | None:
    """The record, without a grant where none was completely written; `None` for what is no record."""
    head, newline, rest = data.partition(b"\n")
    fields = _parse_line(head)
    if not newline or fields is None:
        return None
    if fields.get("format") != _FORMAT:
        raise _NewerFormat
    line, newline, _ = rest.partition(b"\n")
    grant = _parse_line(line) if newline else None
    try:
        record = JournalRecord(
            fields["service"],
            fields["product"],
            fields["request"],
            fields["holder"],
            fields["created"],
        )
        if grant is None:
            return record
        return replace(
            record,
            appid=grant["appid"],
            vid=grant["vid"],
            start_time=grant["start"],
            lease_id=grant["lease"],
        )
    except KeyError:
        return None
