"""What an error of SQLite means for the service: which of them are bad days, and how they are told.

An error that isn't one of them is a fault of the service, or of a value that a caller sent.
"""

from __future__ import annotations

import sqlite3

from ..operations import Unavailable
from .contract import LOCK_PATIENCE
from .sqlite_files import DatabaseFiles

_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PROBLEMS = {
    sqlite3.SQLITE_CANTOPEN: "can't be opened: too many files are open, or its rights have changed",
    sqlite3.SQLITE_READONLY: "can't be written: its file or its file system is read-only",
    sqlite3.SQLITE_PERM: "can't be opened: its rights have changed",
}


def unavailable(error: BaseException, files: DatabaseFiles) -> Unavailable | None:
    """What callers hear of `error`; `None` if the database isn't to blame."""
    if isinstance(error, Unavailable):
        return error
    original = getattr(error, "orig", None) or error
    if isinstance(original, MemoryError):  # so the driver says SQLITE_NOMEM, too
        return Unavailable("away", "the service has no memory left")
    # Of an error by the driver itself the code is missing.
    extended = getattr(original, "sqlite_errorcode", None)
    if not isinstance(original, sqlite3.Error) or extended is None:
        return None
    code = extended & 0xFF
    if code in _LOCKED:
        return Unavailable(
            "locked",
            f"another process has kept the database locked for {LOCK_PATIENCE:g} s and longer",
        )
    if code not in (*_DAMAGED, *_PROBLEMS, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return None
    try:
        files.ensure_present()
    except Unavailable as missing:
        return missing
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and not files.have_room()):
        return Unavailable(
            "full", "there is no room left for the database: free some, or raise the limit", 5
        )
    if code in _DAMAGED:
        return Unavailable("away", "the database is damaged: bring back a backup", 30)
    name = original.sqlite_errorname
    problem = _PROBLEMS.get(code, "can't be read or written")
    return Unavailable("away", f"the database {problem} ({name})", 2)
