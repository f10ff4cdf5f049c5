"""The journal: what this process holds, written down for those who find it dead."""

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
