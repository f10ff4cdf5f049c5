"""What an operator says of an act: `--note` and `--by`."""

from __future__ import annotations

import argparse

from ..administration import LONGEST_NOTE
from ..checks import check_name
from ..runtime.identity import MAX_HOLDER, default_operator


def check_said(arguments: argparse.Namespace) -> None:
    """Refuse what can't be meant, before anything is sent."""
    if arguments.note is not None:
        check_name(arguments.note, "--note", longest=LONGEST_NOTE)
    if arguments.by is not None:
        check_name(arguments.by, "--by", longest=MAX_HOLDER)


def said_by(arguments: argparse.Namespace) -> str:
    """Who acts: as `--by` says, or the user of this process."""
    return str(arguments.by or default_operator())
