"""`appid-manager backup`: a copy of a local database as it is at one moment, by SQLite's own means.

The service may be running: it goes on granting while the copy is made. The copy appears under its
name only when it is complete and was checked, and it never replaces a file.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from ..text import printable
from .database import database_file
from .exits import ExitCode, UsageError
from .output import write_json, write_line

_BUSY_TIMEOUT = 30.0
"""Seconds to wait for a lock on the database."""


class BackupFailed(OSError):
    """The copy can't be made. The message is one line."""


def backup(arguments: argparse.Namespace) -> int:
    """Copy the database into a new file."""
    source = Path(database_file(arguments.database))
    target = _new_file(arguments.file)
    if not source.is_file():
        raise UsageError(f"--database: {printable(source)} is no file")
    with _temporary_file_beside(target) as temporary:
        _copy(source, temporary)
        _check(temporary)
        size = _sync(temporary)
        _publish(temporary, target)
    if arguments.json:
        write_json({"database": str(source), "file": str(target), "bytes": size})
    else:
        write_line(f"copied {printable(source)} to {printable(target)} ({size} bytes)")
    return ExitCode.OK


def _new_file(name: str) -> Path:
    """The path of the copy.

    Raises:
        UsageError: no file can be made there, or there is one.
    """
    if name in ("", "-") or "\0" in name:
        raise UsageError(f"FILE must name a file, not {name!r}")
    target = Path(os.path.abspath(name))
    if os.path.lexists(target):
        raise UsageError(f"FILE: {printable(target)} exists already, and is not overwritten")
    if not target.parent.is_dir():
        raise UsageError(f"FILE: {printable(target.parent)} is no directory")
    return target


@contextlib.contextmanager
def _temporary_file_beside(target: Path) -> Iterator[Path]:
    """A new file that only this user can read; it is removed in the end."""
    try:
        descriptor, name = tempfile.mkstemp(".tmp", f".{target.name[:100]}.", target.parent)
    except OSError as error:
        raise UsageError(f"FILE: {printable(target)}: {_why(error)}") from None
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _copy(source: Path, temporary: Path) -> None:
    try:
        with (
            contextlib.closing(_open(source, "mode=ro")) as database,
            contextlib.closing(sqlite3.connect(temporary)) as copy,
        ):
            if not _TABLES <= {name for (name,) in database.execute(_NAMES_OF_TABLES)}:
                raise UsageError(f"--database: {printable(source)} holds no AppIDs of a service")
            # All pages in one step: one snapshot, whatever is written meanwhile.
            database.backup(copy)
    except sqlite3.Error as error:
        raise _failed(f"{printable(source)} can't be copied: {error}") from None


_NAMES_OF_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"
_TABLES = {"appids", "leases"}


def _check(copy: Path) -> None:
    try:
        with contextlib.closing(_open(copy, "immutable=1")) as database:
            (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        found = str(error)
    if found != "ok":
        raise _failed(f"the copy is damaged, and so is the database: {found}")


def _open(path: Path, how: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True, timeout=_BUSY_TIMEOUT)


def _sync(path: Path) -> int:
    """Have the file on the disk. Returns its size in bytes."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def _publish(temporary: Path, target: Path) -> None:
    """Give the copy its name, unless somebody else has taken that meanwhile."""
    try:
        try:
            os.link(temporary, target)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            os.replace(temporary, target)
        directory = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except FileExistsError:
        raise UsageError(
            f"FILE: {printable(target)} exists already, and is not overwritten"
        ) from None
    except OSError as error:
        raise _failed(f"{printable(target)}: {_why(error)}") from None


def _why(error: OSError) -> str:
    return (error.strerror or "it can't be written").lower()


def _failed(message: str) -> BackupFailed:
    return BackupFailed(" ".join(message.split()))
