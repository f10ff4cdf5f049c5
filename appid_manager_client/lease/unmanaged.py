"""AppIDs that the caller gives back itself: `acquire_appid` and `release_appid`.

Nothing keeps them alive and nothing releases them at the end. What was granted here is remembered
only so that its release names the right lease, and looks first where a field service needs that.
"""

from __future__ import annotations

import math

from ..errors import InvalidRequest
from ..runtime.forks import WithLock
from ..runtime.time import SystemTime
from ..runtime.tracing import span
from ..wire.models import Acquisition
from ..wire.retry import LONGEST_CALL_BACKOFF, retry, unless_it_was_slow
from .acquirer import Acquirer
from .claim import Claim
from .keeper import LeaseKeeper
from .options import LeaseOptions
from .release import RepeatedRelease


class UnmanagedAppIds(WithLock):
    """The AppIDs that the caller of one client gives back itself."""

    def __init__(self, keeper: LeaseKeeper, acquirer: Acquirer, system: SystemTime) -> None:
        super().__init__()
        self._keeper = keeper
        self._api = keeper.api
        self._acquirer = acquirer
        self._system = system
        # Guarded by _lock: what was granted, by product and AppID.
        self._granted: dict[tuple[str, str], Claim] = {}

    def acquire(self, product_name: str, options: LeaseOptions) -> Acquisition:
        """Acquire an AppID; see `AppIdClient.acquire_appid`."""

        def open_claim() -> Claim:
            return self._keeper.open(
                product_name, ttl=options.ttl, holder=options.holder, journaled=False
            )

        claim = self._acquirer.acquire(product_name, options.wait, open_claim)
        grant = claim.grant
        assert grant is not None
        with self._lock:
            self._granted[product_name, grant.appid] = claim
        self._keeper.hand_over(claim)
        return Acquisition(grant.appid, grant.vid, grant.start_time, grant.product_name)

    def release(self, appid: str, product_name: str) -> bool:
        """Release an AppID; see `AppIdClient.release_appid`."""
        key = (product_name, appid)
        with self._lock:
            claim = self._granted.get(key)
            if claim is not None and self._api.was_reset(product_name, claim.granted_at):
                del self._granted[key]  # of unknown origin from now on
                claim = None
        if claim is not None and claim.grant is not None:
            start_time: int | None = claim.grant.start_time
        else:
            start_time = self._look_before_release(product_name, appid)
        release = RepeatedRelease(self._api, product_name, appid, claim, start_time)
        with span("release", service=self._api.base_url, product=product_name, appid=appid):
            # An interrupt must not cut a release off on its way.
            released = self._acquirer.executor.run_shielded(
                lambda: retry(self._system, release.send, longest=LONGEST_CALL_BACKOFF), math.inf
            )
        with self._lock:
            if self._granted.get(key) is claim:
                self._granted.pop(key, None)
        return released

    def _look_before_release(self, product_name: str, appid: str) -> int | None:
        """Look up an AppID of unknown origin. Returns the start of its use, where it is in use.

        A field service loses an AppID for ever that is released without having been acquired.
        A service that is known to refuse such a release isn't asked.
        """
        if self._api.extended:
            return None
        entry = retry(
            self._system,
            lambda attempt: self._api.status(product_name),
            longest=LONGEST_CALL_BACKOFF,
            may_retry=unless_it_was_slow,
        ).find(appid, product_name)
        if entry is not None and entry.start_time is None:
            raise InvalidRequest(
                f"{appid!r} of {product_name!r} at {self._api.base_url} was never acquired, "
                "so it can't be released",
                service=self._api.base_url,
                code="not_leased",
                product_name=product_name,
                appid=appid,
            )
        return None if entry is None else entry.start_time
