"""The journal: a file for each held lease, from which the leases of killed processes are released.

Owns the files, their locks, and the release of what dead processes of this host held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazily

if TYPE_CHECKING:
    from .reaping import Reaped

__all__ = ["Reaped"]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "Reaped": "reaping",
    },
)
