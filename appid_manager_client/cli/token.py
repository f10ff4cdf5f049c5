"""`appid-manager token`: makes a token for the file of tokens of a service."""

from __future__ import annotations

import argparse

from .exits import ExitCode, UsageError
from .output import write_json, write_line


def token(arguments: argparse.Namespace) -> int:
    """Print a new token, and the line of the file that admits it."""
    from ..server.tokens import ROLES, file_line, new_token

    made = new_token()
    try:
        line = file_line(arguments.name, ROLES[arguments.role], made)
    except ValueError as error:
        raise UsageError(f"NAME: {error}") from None
    secret = made.encode("ascii").decode("ascii")
    if arguments.json:
        write_json({"name": arguments.name, "role": arguments.role, "token": secret, "line": line})
    else:
        write_line(f"token, for its holder:  {secret}\nline, for the service:  {line}")
    return ExitCode.OK
