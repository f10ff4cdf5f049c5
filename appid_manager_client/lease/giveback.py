"""How one claim is given back: which call, and what its answer means. No state and no waiting of its own."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ..errors import AppIdManagerError, InvalidRequest, ProductNotFound, TransportError
from ..wire.api import NOT_HELD, ServiceApi
from ..wire.models import AppIdState
from .claim import Claim, Outcome

logger = logging.getLogger("appid_manager_client")


def deliver(api: ServiceApi, claim: Claim, *, look_first: bool) -> Outcome:
    """Give `claim` back with one call: `RELEASED`, or `NOT_HELD` when the service says that it isn't ours (any more).

    `look_first`: on a legacy service, only after its status showed that the AppID is still in use since our grant. To
    be set for everything but the first release by the holder itself.

    Raises:
        AppIdManagerError: it isn't known to have arrived; try again.
    """
    grant = claim.grant
    if grant is None:
        return _deliver_doubt(api, claim)
    if (
        look_first
        and grant.lease_id is None
        and not still_ours(api, claim.product_name, grant.appid, grant.start_time)
    ):
        return Outcome.NOT_HELD
    try:
        api.release(claim.product_name, grant.appid, lease_id=grant.lease_id)
    except ProductNotFound:
        return Outcome.NOT_HELD
    except InvalidRequest as error:
        if error.code not in NOT_HELD:
            raise
        return Outcome.NOT_HELD
    return Outcome.RELEASED


class RepeatedRelease:
    """A release that is sent again while failures may pass, and what its answer means by then.

    `claim` is the grant that is given back, where it is known; `start_time` what a legacy service showed of it before.
    """

    def __init__(
        self,
        api: ServiceApi,
        product_name: str,
        appid: str,
        claim: Claim | None,
        start_time: int | None,
    ) -> None:
        self._api = api
        self._product_name = product_name
        self._appid = appid
        self._claim = claim
        self._start_time = start_time
        self._in_doubt = False  # an earlier try may have arrived, and its answer was lost

    def send(self, attempt: int) -> bool:
        """Whether this or an earlier try released it; `False`: somebody else did.

        Raises:
            AppIdManagerError: it was refused, or isn't known to have arrived.
        """
        if attempt and not self._api.extended and self._start_time is not None:
            if not still_ours(self._api, self._product_name, self._appid, self._start_time):
                return self._in_doubt
        grant = None if self._claim is None else self._claim.grant
        try:
            self._api.release(
                self._product_name, self._appid, lease_id=None if grant is None else grant.lease_id
            )
        except TransportError as error:
            self._in_doubt = self._in_doubt or error.maybe_received
            raise
        except InvalidRequest as error:
            # What was never known to be held here may be a typo, however often it was sent.
            if self._in_doubt and self._claim is not None and error.code in NOT_HELD:
                return True
            if error.code in ("already_released", "lease_mismatch"):
                return self._in_doubt
            raise
        return True


def still_ours(api: ServiceApi, product_name: str, appid: str, start_time: int) -> bool:
    """Whether a legacy service still shows the AppID in use since the moment of our own grant.

    Looking and releasing are two calls there: a limit of those services that nothing on this side can lift.
    """
    entry = api.status(product_name).find(appid, product_name)
    return (
        entry is not None
        and entry.status == AppIdState.IN_USE.value
        and entry.start_time == start_time
    )


def _deliver_doubt(api: ServiceApi, claim: Claim) -> Outcome:
    """An acquire whose answer never came: an extended service forgets it by its id, a legacy one can't."""
    try:
        released = api.abandon(claim.product_name, claim.request_id)
    except ProductNotFound:
        return Outcome.NOT_HELD
    except InvalidRequest as error:
        if error.code != "missing_appid":
            raise
        api.extended = False
        warn_of_candidates(api, claim.product_name, claim.doubts)
        return Outcome.NOT_HELD
    return Outcome.NOT_HELD if released.appid is None else Outcome.RELEASED


def warn_of_candidates(
    api: ServiceApi, product_name: str, doubts: Sequence[tuple[float, float]]
) -> None:
    """Say which AppIDs a legacy service may have handed out in answers that never came."""
    try:
        entries = api.status(product_name).appids
    except AppIdManagerError:
        entries = ()
    spans = [
        (api.clock.earliest(sent) * 1000, api.clock.latest(broken) * 1000)
        for sent, broken in doubts
    ]
    candidates = [
        entry.appid
        for entry in entries
        if entry.status == AppIdState.IN_USE.value
        and entry.start_time is not None
        and any(low <= entry.start_time <= high for low, high in spans)
    ]
    logger.warning(
        "the answer to an acquire of %s at %s was lost; this service can't tell what it handed out, so an AppID "
        "may stay in use until somebody releases it (candidates: %s)",
        product_name,
        api.base_url,
        ", ".join(candidates) or "none found",
    )
