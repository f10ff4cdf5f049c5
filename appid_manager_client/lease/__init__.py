"""Leases: each holds one AppID, which is acquired, kept alive by heartbeats, and released once.

Owns the waits of an acquire, the states of leases, and the releases that are retried in the
background. Knows no HTTP and no pool.
"""

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
