"""The calls that release a claim: which one is sent, and what its answer means.

No state of claims and no waiting: when a release is tried again is decided in `giveback.py`, or by
the caller of `RepeatedRelease`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import (
    AppIdManagerError,
    AuthenticationError,
    InvalidRequest,
    ProductNotFound,
    ProtocolError,
    TransportError,
)
from ..text import get_logger
from ..wire.answers import NEEDS_APPID, NOT_HELD
from ..wire.api import ServiceApi
from ..wire.models import AppIdState
from .claim import Claim, Outcome

logger = get_logger()


def release_claim(api: ServiceApi, claim: Claim, *, first: bool) -> Outcome:
    """Release what `claim` got, or give up its acquire if the answer never came.

    Args:
        first: this is the first release, sent by the holder itself. Otherwise a field service is
            asked first whether the AppID is still in use since our grant.

    Returns:
        `RELEASED`, or `NOT_HELD` when the service says that it is not ours (any more).

    Raises:
        AppIdManagerError: the release isn't known to have arrived; try again.
    """
    with claim.span("release", api.base_url):
        return _release_claim(api, claim, first=first)


def _release_claim(api: ServiceApi, claim: Claim, *, first: bool) -> Outcome:
    if claim.grant is None:
        _abandon(api, claim)
        # Either something was given back, or there was nothing to give back.
        return Outcome.RELEASED
    look_first = not first or api.was_reset(claim.product_name, claim.granted_at)
    outcome = _release(api, claim, look_first=look_first)
    if outcome is Outcome.NOT_HELD and not first:
        # An earlier try arrived, and its answer was lost.
        return Outcome.RELEASED
    return outcome


def release_if_held(api: ServiceApi, claim: Claim) -> Outcome:
    """Release what another process was granted, if the service still shows that grant.

    Returns:
        `RELEASED`, or `NOT_HELD`.

    Raises:
        AppIdManagerError: the release isn't known to have arrived; try again.
    """
    if claim.grant is None:
        return _abandon(api, claim)
    return _release(api, claim, look_first=True)


def is_pointless(api: ServiceApi, claim: Claim, error: Exception) -> bool:
    """Whether to stop giving up an acquire that has no answer.

    So it is when what answers refuses the token, or never was an AppID service.
    """
    return (
        claim.grant is None
        and claim.record is None
        and not api.extended
        and isinstance(error, (AuthenticationError, ProtocolError))
    )


def _release(api: ServiceApi, claim: Claim, *, look_first: bool) -> Outcome:
    grant = claim.grant
    assert grant is not None
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
    """A release that is sent again after failures that may pass, and what its answer means then.

    Args:
        claim: the grant that is given back, where it is known.
        start_time: the start of the grant, as a field service showed it before the first try.
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
        """Return whether this or an earlier try released it; `False`: somebody else did.

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
            # An AppID that was never known to be held here may be a typo, however often it is sent.
            if self._in_doubt and self._claim is not None and error.code in NOT_HELD:
                return True
            if error.code in ("already_released", "lease_mismatch"):
                return self._in_doubt
            raise
        return True


def still_ours(api: ServiceApi, product_name: str, appid: str, start_time: int) -> bool:
    """Whether a field service still shows the AppID in use since our own grant.

    Looking and releasing are two calls there: somebody else's release and acquire can fall in
    between, and nothing on this side can prevent that.
    """
    entry = api.status(product_name).find(appid, product_name)
    return (
        entry is not None
        and entry.status == AppIdState.IN_USE.value
        and entry.start_time == start_time
    )


def _abandon(api: ServiceApi, claim: Claim) -> Outcome:
    """Give up an acquire by its request id; a field service can't, and the log names candidates."""
    try:
        released = api.abandon(claim.product_name, claim.request_id)
    except ProductNotFound:
        return Outcome.NOT_HELD
    except InvalidRequest as error:
        if error.code != NEEDS_APPID:
            raise
        warn_of_candidates(api, claim.product_name, claim.unanswered)
        return Outcome.NOT_HELD
    return Outcome.NOT_HELD if released.appid is None else Outcome.RELEASED


def warn_of_candidates(
    api: ServiceApi, product_name: str, unanswered: Sequence[tuple[float, float]]
) -> None:
    """Log which AppIDs a field service may have handed out in answers that never came.

    Args:
        unanswered: when each of the acquires was sent, and when it broke off. Empty: nobody knows,
            as the process that sent it is dead. Then the log names no candidates.
    """
    try:
        entries = api.status(product_name).appids if unanswered else ()
    except AppIdManagerError:
        entries = ()
    spans = [
        (api.clock.earliest(sent) * 1000, api.clock.latest(broken) * 1000)
        for sent, broken in unanswered
    ]
    candidates = [
        entry.appid
        for entry in entries
        if entry.status == AppIdState.IN_USE.value
        and entry.start_time is not None
        and any(low <= entry.start_time <= high for low, high in spans)
    ]
    shown = f" (candidates: {', '.join(candidates) or 'none found'})" if unanswered else ""
    logger.warning(
        "the answer to an acquire of %s at %s was lost; this service can't tell what it handed "
        "out, so an AppID may stay in use until somebody releases it%s",
        product_name,
        api.base_url,
        shown,
    )
