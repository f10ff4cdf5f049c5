"""One AppID held by this code: acquired, kept alive, given back exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazily

if TYPE_CHECKING:
    from .claim import PendingRelease
    from .held import Lease

__all__ = ["Lease", "PendingRelease"]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "Lease": "held",
        "PendingRelease": "claim",
    },
)
