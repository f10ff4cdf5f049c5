"""Who may do what: tokens with a name and a role, from the settings and from a file of tokens.

The file has a line for each token, `NAME ROLE sha256:HEX` or `NAME ROLE TOKEN`; empty lines and
those that begin with `#` are left out. It can be read again while the service runs. No HTTP.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from ..checks import is_token
from ..errors import ConfigurationError, unusable
from ..secret import Token

OWN_NAME = "token"
"""The name of the token that the settings hold; its role is `admin`."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_NAME_WANTED = (
    "the name must be 1 to 64 letters, digits, '.', '_', '@' or '-', and begin with a letter or "
    "a digit"
)
_DIGEST = re.compile(r"sha256:[0-9a-fA-F]{64}")
_LARGEST_FILE = 1024 * 1024  # bytes


class Role(IntEnum):
    """What the holder of a token may do; each role includes the ones before it."""

    READ = 1
    USE = 2
    ADMIN = 3

    @property
    def word(self) -> str:
        """The role as the file of tokens and the messages have it."""
        return self.name.lower()


ROLES = {role.word: role for role in Role}
"""The roles by their words."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls: the name of the token, which is `None` on a service without tokens, and its role.

    `digest` tells two tokens of one name apart.
    """

    name: str | None
    role: Role
    digest: bytes = b""


ANYBODY = Identity(None, Role.ADMIN)
"""Whoever calls a service without tokens."""


class Tokens:
    """The tokens of one service. Safe for use by many threads.

    Args:
        auth_token: the token of the settings; `None`: there is none.
        file: the path of the file of tokens; `None`: there is none.

    Raises:
        ConfigurationError: the file can't be used. Says which line is wrong, and why.

    Attributes:
        file: as given.
    """

    def __init__(self, auth_token: str | None, file: str | None = None) -> None:
        self.file = file
        self._own: dict[bytes, Identity] = {}
        if auth_token is not None:
            digest = _digest(Token(auth_token).encode("ascii"))
            self._own[digest] = Identity(OWN_NAME, Role.ADMIN, digest)
        self._known = self._read()

    def reload(self) -> int:
        """Read the file again; returns how many tokens there are now.

        Raises:
            ConfigurationError: it can't be used, and the tokens are those of before.
        """
        self._known = self._read()
        return len(self._known)

    @property
    def required(self) -> bool:
        """Whether callers need a token."""
        return bool(self._known)

    def identify(self, sent: bytes) -> Identity | None:
        """Whose token was sent; `None`: nobody's.

        The digest is looked up: how long that takes tells nothing about any token.
        """
        return self._known.get(_digest(sent))

    def find(self, name: str) -> Identity | None:
        """The token of that name; `None`: there is none any more."""
        return next((one for one in self._known.values() if one.name == name), None)

    def _read(self) -> dict[bytes, Identity]:
        if self.file is None:
            return dict(self._own)
        found = _parse(_read_lines(self.file), self.file, self._own)
        if not found:
            raise _unusable(f"{self.file} has no token: nobody could call")
        return found


def new_token() -> Token:
    """A new random token, of 256 bits."""
    return Token(secrets.token_urlsafe(32))


def file_line(name: str, role: Role, token: Token) -> str:
    """The line of a file of tokens that admits `token`, without showing it.

    Raises:
        ValueError: `name` is no name of a token.
    """
    if _NAME.fullmatch(name) is None or name == OWN_NAME:
        raise ValueError(f"{_NAME_WANTED} and not {OWN_NAME!r}: {name!r}")
    return f"{name} {role.word} sha256:{_digest(token.encode('ascii')).hex()}"


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def _read_lines(path: str) -> list[str]:
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
            if os.name == "posix" and found.st_mode & (stat.S_IROTH | stat.S_IWOTH):
                raise _unusable(f"{path} is open to everybody on this machine: chmod o-rwx {path}")
            content = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise _unusable(f"{path} can't be read: {error.strerror}") from None
    if len(content) > _LARGEST_FILE:
        raise _unusable(f"{path} is larger than {_LARGEST_FILE} bytes")
    try:
        return content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _unusable(f"{path}, line {line}: is no text in UTF-8") from None


def _parse(lines: Iterable[str], path: str, own: dict[bytes, Identity]) -> dict[bytes, Identity]:
    """The tokens of a file, and `own`. What a line holds is never shown: it may be a token."""
    found = dict(own)
    names = {identity.name: 0 for identity in own.values()}
    for number, line in enumerate(lines, 1):
        parts = line.split()
        if not parts or parts[0].startswith("#"):
            continue
        identity = _identity(parts, f"{path}, line {number}")
        if identity.name in names:
            before = names[identity.name]
            where = f"line {before} has it" if before else "it is that of --token"
            raise _unusable(f"{path}, line {number}: the name is taken: {where}")
        if identity.digest in found:
            raise _unusable(f"{path}, line {number}: another name has this token already")
        names[identity.name] = number
        found[identity.digest] = identity
    return found


def _identity(parts: list[str], where: str) -> Identity:
    if len(parts) != 3:
        raise _unusable(f"{where}: must be NAME ROLE TOKEN, and has {len(parts)} parts")
    name, role, token = parts
    if _NAME.fullmatch(name) is None:
        raise _unusable(f"{where}: {_NAME_WANTED}")
    if role not in ROLES:
        raise _unusable(f"{where}: the role must be {', '.join(ROLES)}")
    if token.startswith("sha256:"):
        if _DIGEST.fullmatch(token) is None:
            raise _unusable(f"{where}: sha256: must be followed by 64 hexadecimal digits")
        digest = bytes.fromhex(token.removeprefix("sha256:"))
    elif is_token(token):
        digest = _digest(token.encode("ascii"))
    else:
        raise _unusable(f"{where}: the token must be printable ASCII text")
    return Identity(name, ROLES[role], digest)


def _unusable(problem: str) -> ConfigurationError:
    return unusable("tokens_file", problem)
