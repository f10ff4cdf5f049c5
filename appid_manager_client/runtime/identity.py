"""Who this process is, for people who look who holds an AppID: `user@host:pid program`."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import PurePath

from ..text import printable

MAX_HOLDER = 200
"""The most characters of the text about a holder (wire contract, "Extensions")."""

_of_process: tuple[int, str] = (0, "")


def default_holder() -> str:
    """Return `user@host:pid program`, at most `MAX_HOLDER` characters. Made once a process.

    The arguments of the program are left out: they may hold secrets.
    """
    global _of_process
    pid, holder = _of_process
    if pid != os.getpid():  # the first call, or a forked child
        pid = os.getpid()
        holder = holder_running(_program())
        _of_process = pid, holder
    return holder


def holder_running(program: str) -> str:
    """The same, for a process that holds an AppID for another program."""
    return printable(f"{_user()}@{socket.gethostname()}:{os.getpid()} {program}")[:MAX_HOLDER]


def default_operator() -> str:
    """Return `user@host`, at most `MAX_HOLDER` characters."""
    return printable(f"{_user()}@{socket.gethostname()}")[:MAX_HOLDER]


def _user() -> str:
    """The name of the user as whom this process acts; the uid where it has no name."""
    try:
        import pwd
    except ImportError:  # Windows
        return os.environ.get("USERNAME", "")
    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name or str(uid)
    except (KeyError, OSError):  # a container with a uid of its own; an unreachable directory
        return str(uid)


def _program() -> str:
    """The name of the program: of its script, or of its module after `python -m`."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None and spec.name != "__main__":
        return str(spec.name).removesuffix(".__main__")
    argv = getattr(sys, "argv", None) or [""]
    name = PurePath(argv[0]).name
    # "-c": a program on the command line; "": an interactive one, or Python inside of another.
    return name if name not in ("", "-c", "-m") else PurePath(sys.executable or "python").name
