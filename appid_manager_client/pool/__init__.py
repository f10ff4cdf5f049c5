"""Pools of leases: within an hour, one AppID serves many checkouts, one at a time.

Owns the decisions of a pool (its plan), the queue of its callers, and its turn of the hour. Leases
of single AppIDs, and their calls to the service, are for `lease/`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazily

if TYPE_CHECKING:
    from .lease import PooledLease
    from .model import PoolStats
    from .pool import LeasePool

__all__ = ["LeasePool", "PoolStats", "PooledLease"]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "LeasePool": "pool",
        "PoolStats": "model",
        "PooledLease": "lease",
    },
)
