"""One typed method for each call of the wire contract; what every answer says of the service's time goes to the clock.

Judges shapes and codes. When to try again is for `waiting.py`, what is owed to the service for `keeper.py`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from ..errors import (
    AppIdConflict,
    AppIdManagerError,
    AppIdNotFound,
    InvalidRequest,
    ProductMismatch,
    ProductNotFound,
    ProtocolError,
)
from .clock import ServerClock
from .models import AppIdStatus, Grant, Health, Heartbeats, ProductStatus, Release, Wait
from .transport import Answer, Transport

NOT_HELD = frozenset(
    {"already_released", "not_leased", "lease_mismatch", "appid_not_found", "product_mismatch"}
)
"""Codes with which a service says that what a release names isn't held, or not by this lease."""

_CLOCK_STALE = 600.0
_LATEST_MS = 253_402_300_800_000
"""The year 10000: no time and no count of the contract is that large, and Python's dates end there."""
_LONGEST_WAIT = 1e9

P = ParamSpec("P")
T = TypeVar("T")

_BY_CODE: dict[str, type[InvalidRequest]] = {
    "product_not_found": ProductNotFound,
    "appid_not_found": AppIdNotFound,
    "product_mismatch": ProductMismatch,
    "appid_conflict": AppIdConflict,
}


def _without_frames(call: Callable[P, T]) -> Callable[P, T]:
    """Errors leave a call without the frames that judged the answer: an answer can echo the token."""

    @functools.wraps(call)
    def clean(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except AppIdManagerError as error:
            failure = error
        raise failure.with_traceback(None)

    return clean


class ServiceApi:
    """The calls of one service.

    `extended` says whether it speaks the extensions: `None` until an answer showed it, and never assumed.
    """

    def __init__(self, transport: Transport, clock: ServerClock) -> None:
        self.base_url = transport.base_url
        self.timeout = transport.timeout
        self.clock = clock
        self.extended: bool | None = None
        self._transport = transport
        self._reset_at: dict[str, float] = {}

    @_without_frames
    def acquire(
        self,
        product_name: str,
        *,
        request_id: str,
        ttl: float | None = None,
        holder: str | None = None,
        force: bool = False,
    ) -> Grant | Wait:
        """Ask for an AppID once. The same `request_id` again gets the same grant from an extended service."""
        body: dict[str, Any] = {"productName": product_name, "requestId": request_id}
        if force:
            body["forceAcquire"] = True
        if ttl is not None:
            body["ttl"] = ttl
        if holder is not None:
            body["holder"] = holder
        answer = self._transport.call("POST", "/api/appid/acquire", body=body)
        if answer.status == 200:
            return self._grant(answer, product_name)
        if answer.status == 202:
            return self._wait(answer)
        raise self._refusal(answer, product_name)

    @_without_frames
    def release(self, product_name: str, appid: str, *, lease_id: str | None = None) -> Release:
        """Give an AppID back; with a `lease_id`, only if that lease still holds it."""
        body = {"appid": appid, "productName": product_name}
        if lease_id is not None:
            body["leaseId"] = lease_id
        return self._released(body, product_name, appid)

    @_without_frames
    def abandon(self, product_name: str, request_id: str) -> Release:
        """Give up an acquire whose answer never came (extension; a legacy service answers `missing_appid`)."""
        return self._released(
            {"requestId": request_id, "productName": product_name}, product_name, None
        )

    def _released(self, body: dict[str, str], product_name: str, appid: str | None) -> Release:
        answer = self._transport.call("POST", "/api/appid/release", body=body)
        self._expect_ok(answer, product_name, appid)
        if answer.body.get("success") is not True:
            raise self._malformed(answer, "success")
        stop_time = self._optional_int(answer, "stoptime")
        if stop_time is not None and appid is not None:
            # What was given up by its request may have ended long ago.
            self.clock.observe(stop_time, answer.sent, answer.received)
        released = answer.body.get("appid", appid)
        return Release(released if isinstance(released, str) else None, stop_time)

    @_without_frames
    def init(
        self, product_name: str, appids: Mapping[str, str | int], *, keep_state: bool = False
    ) -> dict[str, Any]:
        """Set a product's AppIDs; `keep_state` (extension) keeps what is known of this hour's use."""
        body: dict[str, Any] = {"productName": product_name, "appids": dict(appids)}
        if keep_state:
            body["keepState"] = True
        self._reset_at[product_name] = self._transport.system.monotonic()
        answer = self._transport.call("POST", "/api/appid/init", body=body)
        self._expect_ok(answer, product_name)
        if answer.body.get("success") is not True:
            raise self._malformed(answer, "success")
        return answer.body

    def was_reset(self, product_name: str, since: float) -> bool:
        """Whether this client sent an `init` of the product after that monotonic moment.

        A legacy service knows nothing then of what it granted before, and loses what is released unacquired.
        """
        return self._reset_at.get(product_name, -math.inf) >= since

    @_without_frames
    def status_body(self, product_name: str | None = None) -> dict[str, Any]:
        """The status as the service sent it."""
        answer = self._status_answer(product_name)
        self._counts(answer)
        return answer.body

    @_without_frames
    def status(self, product_name: str | None = None) -> ProductStatus:
        """The status, typed; an entry's `current_hour` is how a legacy service tells its hours."""
        answer = self._status_answer(product_name)
        counts = self._counts(answer)
        appids = tuple(self._entry(answer, entry) for entry in answer.body["appids"])
        if appids and not self.extended:
            start = appids[0].current_hour_ms
            self.clock.observe_hour(start + int(self.clock.hour_length * 1000))
        return ProductStatus(*counts, appids)

    def _counts(self, answer: Answer) -> tuple[int, int, int, int]:
        """The counts of a status, of which at least the outer shape is right then."""
        if not isinstance(answer.body.get("appids"), list):
            raise self._malformed(answer, "appids")
        total, available = self._int(answer, "total"), self._int(answer, "available")
        return total, available, self._int(answer, "in_use"), self._int(answer, "released")

    def _status_answer(self, product_name: str | None) -> Answer:
        query = None if product_name is None else {"productName": product_name}
        answer = self._transport.call("GET", "/api/appid/status", query=query)
        self._expect_ok(answer, product_name)
        return answer

    @_without_frames
    def health(self) -> Health:
        """Whether the service is well, and what time it is there. Sent without a token.

        Raises:
            ProtocolError: it answers, but doesn't call itself healthy.
        """
        answer = self._transport.call("GET", "/health", authenticated=False)
        self._expect_ok(answer)
        if answer.body.get("status") != "healthy":
            raise self._malformed(answer, "status")
        self.extended = "serverTime" in answer.body
        now = self._int(answer, "serverTime" if self.extended else "timestamp")
        self.clock.observe(now, answer.sent, answer.received)
        start, end = self._optional_int(answer, "hourStart"), self._optional_int(answer, "hourEnd")
        if end is not None:
            self.clock.observe_hour(end, start)
        return Health(now, start, end)

    @_without_frames
    def heartbeat(self, lease_ids: Sequence[str]) -> Heartbeats:
        """Extend leases by their own `ttl` (extension)."""
        answer = self._transport.call(
            "POST", "/api/appid/heartbeat", body={"leaseIds": list(lease_ids)}
        )
        self._expect_ok(answer)
        renewed, lost = answer.body.get("renewed"), answer.body.get("lost")
        if not isinstance(renewed, dict) or not isinstance(lost, list):
            raise self._malformed(answer, "renewed" if isinstance(lost, list) else "lost")
        return Heartbeats(renewed, frozenset(lease for lease in lost if isinstance(lease, str)))

    def learn_hours(self, product_name: str) -> None:
        """Bring the clock up to date: `/health` for the time, a status for the hours of a legacy service."""
        self.learn_time()
        if not self.extended and not self.clock.hour_known:
            self.status(product_name)

    def learn_time(self) -> None:
        """The part of `learn_hours` that `/health` tells."""
        clock = self.clock
        if clock.age > _CLOCK_STALE or (self.extended is not False and not clock.hour_known):
            self.health()

    def hour_end_of(self, grant: Grant) -> float | None:
        """When the hour ends in which `grant` was made (epoch seconds); `None` while the hours are unknown.

        Its `hour_end_ms` is that of the answer: an hour too late where a repeated request brought an old grant.
        """
        start = grant.start_time / 1000
        if grant.hour_end_ms is not None:
            end = grant.hour_end_ms / 1000
            if end - self.clock.hour_length <= start < end:
                return end
        return self.clock.hour_end_after(start)

    def _grant(self, answer: Answer, product_name: str) -> Grant:
        body = answer.body
        appid, vid, start = body.get("appid"), body.get("vid"), self._int(answer, "starttime")
        if not isinstance(appid, str) or not appid:
            raise self._malformed(answer, "appid")
        if isinstance(vid, bool) or not isinstance(vid, (str, int)):
            raise self._malformed(answer, "vid")
        if body.get("productName", product_name) != product_name:
            raise self._malformed(answer, "productName")
        lease_id = body.get("leaseId")
        if lease_id is not None and not isinstance(lease_id, str):
            raise self._malformed(answer, "leaseId")
        self.extended = lease_id is not None
        if not self.extended:
            # An extended service may repeat an old grant; only a legacy one has always just made it.
            self.clock.observe(start, answer.sent, answer.received)
        return Grant(
            appid,
            vid,
            product_name,
            start,
            lease_id,
            self._optional_int(answer, "expiresAt"),
            *self._heard_times(answer),
        )

    def _wait(self, answer: Answer) -> Wait:
        reason, retry_after = answer.body.get("error"), answer.body.get("retry_after")
        if not isinstance(reason, str):
            raise self._malformed(answer, "error")
        if (
            isinstance(retry_after, bool)
            or not isinstance(retry_after, (int, float))
            or not -_LONGEST_WAIT < retry_after < _LONGEST_WAIT
        ):
            raise self._malformed(answer, "retry_after")
        available_at = self._optional_int(answer, "availableAt")
        server_time, hour_end = self._heard_times(answer)
        self.extended = server_time is not None
        message = str(answer.body.get("message", ""))
        return Wait(reason, float(retry_after), message, available_at, server_time, hour_end)

    def _heard_times(self, answer: Answer) -> tuple[int | None, int | None]:
        server_time = self._optional_int(answer, "serverTime")
        hour_end = self._optional_int(answer, "hourEnd")
        if server_time is not None:
            self.clock.observe(server_time, answer.sent, answer.received)
        if hour_end is not None:
            self.clock.observe_hour(hour_end)
        return server_time, hour_end

    def _entry(self, answer: Answer, entry: object) -> AppIdStatus:
        if not isinstance(entry, dict):
            raise self._malformed(answer, "appids")
        inner = Answer(answer.status, entry, answer.sent, answer.received)
        texts = [entry.get(name) for name in ("appid", "productName", "status")]
        if not all(isinstance(text, str) for text in texts):
            raise self._malformed(answer, "appids")
        return AppIdStatus(
            appid=str(texts[0]),
            vid=entry.get("vid", ""),
            product_name=str(texts[1]),
            status=str(texts[2]),
            is_available=entry.get("is_available") is True,
            start_time=self._optional_int(inner, "starttime"),
            stop_time=self._optional_int(inner, "stoptime"),
            current_hour_ms=self._int(inner, "current_hour"),
        )

    def _int(self, answer: Answer, name: str) -> int:
        value = answer.body.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _LATEST_MS:
            raise self._malformed(answer, name)
        return value

    def _optional_int(self, answer: Answer, name: str) -> int | None:
        return None if answer.body.get(name) is None else self._int(answer, name)

    def _malformed(self, answer: Answer, name: str) -> ProtocolError:
        shown = "nothing"
        if name in answer.body:
            shown = self._transport.hide(repr(answer.body[name]))[:80]
        return ProtocolError(
            f"{self.base_url} answered {answer.status} with {shown} as {name!r}: is it an AppID service?",
            service=self.base_url,
            status=answer.status,
        )

    def _expect_ok(
        self, answer: Answer, product_name: str | None = None, appid: str | None = None
    ) -> None:
        if answer.status != 200:
            raise self._refusal(answer, product_name, appid)

    def _refusal(
        self, answer: Answer, product_name: str | None = None, appid: str | None = None
    ) -> InvalidRequest | ProtocolError:
        """The error for a 4xx; anything else that is no success isn't in the contract."""
        code, message = answer.body.get("error"), answer.body.get("message", "")
        if not 400 <= answer.status < 500 or not isinstance(code, str):
            return self._malformed(answer, "error")
        about = f" for product {product_name!r}" if product_name is not None else ""
        about += f" and AppID {appid!r}" if appid is not None else ""
        return _BY_CODE.get(code, InvalidRequest)(
            f"{self.base_url} refused the request{about}: {code} ({str(message)[:200]})",
            service=self.base_url,
            code=code,
            status=answer.status,
            product_name=product_name,
            appid=appid,
        )
