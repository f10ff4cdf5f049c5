"""A pool of leases of one product, as its users see it.

Within an hour one AppID serves many checkouts, and at the turn of the hour none is burned. How
that is done stands in `lender.py`, when something is done in `plan.py`.
"""

from __future__ import annotations

import asyncio
import warnings
from types import TracebackType
from typing import Any

from ..checks import check_seconds
from ..lease.exits import EXIT_TIMEOUT
from ..text import get_logger, printable
from .lease import PooledLease
from .lender import Lender
from .model import PoolStats

logger = get_logger()


class LeasePool:
    """Leases of one product that are handed from caller to caller. Made by `AppIdClient.pool()`.

    The pool holds as many AppIDs as are needed at once. Shortly before the hour turns it
    releases the idle ones, so that none is burned. Callers then wait until the hour has turned,
    and the pool acquires fresh AppIDs. `docs/hour.md` explains it with a picture. A pool is safe
    for many threads.

        with client.pool("stt_billing", max_size=8) as pool:
            with pool.lease() as lease:
                transcribe(lease.appid, lease.vid)
    """

    __module__ = "appid_manager_client"

    def __init__(self, lender: Lender) -> None:
        self.product_name = lender.product_name
        self._lender = lender

    def lease(self, *, timeout: float | None = None, min_remaining: float = 0.0) -> PooledLease:
        """Returns a lease of the pool, to be entered with `with` or `async with`.

        Args:
            timeout: seconds to wait for an AppID; `None`: as long as the pool's `timeout`; 0:
                take only an AppID that is idle now. If none can be free in time, the error comes
                at once and says when one can.
            min_remaining: seconds that must be left of the hour when the block starts. If there
                are less, the caller waits for the next hour. Less than an hour.

        Raises:
            ValueError, TypeError: an argument is wrong.
        """
        if timeout is not None:
            check_seconds(timeout, "timeout")
        if min_remaining:
            check_seconds(min_remaining, "min_remaining")
        return PooledLease(self, self._lender, timeout, min_remaining)

    def get_stats(self) -> PoolStats:
        """The pool's statistics at this time."""
        return self._lender.stats()

    @property
    def closed(self) -> bool:
        """Whether the pool was closed."""
        return self._lender.closed

    def close(self, timeout: float = EXIT_TIMEOUT) -> None:
        """Hand out no more leases.

        All callers that wait get a `PoolClosed`, and idle AppIDs are released. AppIDs that are
        checked out are released when they are given back; `close` does not wait for them. It
        takes at most about `timeout` seconds. The client goes on in the background with releases
        that could not be delivered by then.
        """
        check_seconds(timeout, "timeout")
        self._lender.close()
        if not self._lender.join(timeout):
            logger.warning(
                "the pool of %s was closed before all AppIDs were released; "
                "the client goes on in the background",
                self.product_name,
            )

    def __enter__(self) -> LeasePool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> LeasePool:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.close)

    def __repr__(self) -> str:
        stats = self.get_stats()
        state = "closed" if stats.closed else "open"
        return (
            f"<LeasePool of {self.product_name!r} {state}: {stats.idle} idle, "
            f"{stats.checked_out} checked out, {stats.waiting} waiting>"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a LeasePool can't be pickled: make one in each process")

    def __del__(self) -> None:
        # No lock, no network, no join in here. A lease that is checked out keeps its pool: all
        # that is left is idle.
        lender = getattr(self, "_lender", None)
        if lender is not None and (held := lender.forget()):
            warnings.warn(
                f"a pool of {printable(self.product_name)} was garbage-collected while it held "
                f"{held} AppIDs; close() it",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )
