"""What an error of PostgreSQL means for the service: which are bad days, and what helps.

An error that isn't one of them is a fault of the service, or of a value that a caller sent.
"""

from __future__ import annotations

import psycopg

from ..operations import Unavailable
from .contract import LOCK_PATIENCE, DoAgain

_DEADLOCKS = {"40001", "40P01"}
_TIMEOUTS = {"55P03", "57014"}
_FULL = {"53100"}
_READ_ONLY = {"25006", "0A000"}
_TABLES_GONE = {"42P01", "3F000"}
# The server ends the connection: it stops, it crashed, or it found the transaction idle.
_GOODBYES = {"57P01", "57P02", "57P03", "57P05", "25P03", "25P04"}
# Classes: connection, too little of something, the operating system, an internal error.
_FAULTS_OF_THE_SERVER = ("08", "53", "58", "XX")


def meaning(error: BaseException, *, lost: bool) -> Unavailable | DoAgain | None:
    """What `error` means before a commit was sent; `None` if the database isn't to blame.

    Args:
        error: of psycopg, as it is or wrapped by SQLAlchemy, or of this package.
        lost: whether the connection is of no more use.
    """
    if isinstance(error, Unavailable | DoAgain):
        return error
    original = getattr(error, "orig", None) or error
    if not isinstance(original, psycopg.Error):
        return None
    state = original.sqlstate or ""
    if lost or state in _GOODBYES:
        return DoAgain(away("the connection to the database was lost"))
    if state in _DEADLOCKS:
        return DoAgain(_locked("other transactions of the database came in the way too often"))
    if state in _TIMEOUTS:
        return _locked(f"somebody has kept rows of it locked for {LOCK_PATIENCE:g} s and longer")
    if state in _FULL:
        return Unavailable("full", "the database's disk is full: free some room", 5)
    if state in _READ_ONLY:
        return away(READ_ONLY)
    if state in _TABLES_GONE:
        return Unavailable("replaced", "the tables of the service are gone from the database", 30)
    if state.startswith(_FAULTS_OF_THE_SERVER):
        return away(f"the database failed: {first_line(original)}")
    return None


READ_ONLY = "the database is read-only: it is a standby, or was made so"


def away(message: str) -> Unavailable:
    """The database can't be used, for the reason that `message` says."""
    return Unavailable("away", message)


def _locked(message: str) -> Unavailable:
    return Unavailable("locked", f"the database is busy: {message}")


def first_line(error: BaseException) -> str:
    """What the database says, without the lines of detail, which may hold what callers sent."""
    original = getattr(error, "orig", None) or error
    return " ".join(str(original).strip().partition("\n")[0].split())
