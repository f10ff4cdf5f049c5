"""`appid-manager completion`: scripts for shells, written from the parser by shtab."""

from __future__ import annotations

import argparse

from ..errors import ConfigurationError
from .arguments import command_line
from .exits import ExitCode
from .output import write_line


def completion(arguments: argparse.Namespace) -> int:
    """Print the script for a shell."""
    try:
        import shtab
    except ImportError:
        raise ConfigurationError(
            "completion needs shtab, not installed here: "
            'pip install "appid-manager-client[completion]"'
        ) from None
    write_line(shtab.complete(command_line(), arguments.shell).rstrip())
    return ExitCode.OK
