"""One typed method for each call of the wire contract. Answers also set the service's clock.

When to try again is for `lease/waiting.py` and `retry.py`; what is still owed to the service, for
`lease/keeper.py`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, Protocol, TypeVar

from ..config import TIMEOUT_VARIABLE
from ..errors import (
    AppIdManagerError,
    InvalidRequest,
    ProductNotFound,
    RequestTimeout,
    TransportError,
)
from ..runtime.time import SystemTime
from .answers import NEEDS_APPID, Answer, AnswerReader
from .clock import ServerClock
from .models import LOOK, Asking, Grant, Health, Heartbeats, ProductStatus, Release, Wait
from .resets import Resets

_TIME_STALE = 600.0
"""Seconds after which `learn_time` asks for the service's time again.

By then the drift of two clocks may have added 0.06 seconds to each bound of `ServerClock`.
"""

_SECONDS_PER_APPID = 1 / 10_000
"""How much longer than other calls an init may take for each AppID that it names."""

_PAGE = 2_000
"""How many AppIDs of a status are asked for at once: others wait as long as the service needs."""

P = ParamSpec("P")
T = TypeVar("T")


class AnyTransport(Protocol):
    """What carries the calls: a `Transport`, or a simulation of one."""

    @property
    def base_url(self) -> str:
        """The service."""

    @property
    def timeout(self) -> float:
        """Seconds that each part of an exchange may take."""

    @property
    def system(self) -> SystemTime:
        """The clock by which an answer's `sent` and `received` are taken."""

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        authenticated: bool = True,
        longer: float = 0.0,
    ) -> Answer:
        """Send one request and return its answer, waiting so many seconds `longer` than usual."""

    def hide(self, text: str) -> str:
        """Return `text` without the token."""


def _without_frames(call: Callable[P, T]) -> Callable[P, T]:
    """Have errors leave a call without the frames that read the answer: it can repeat the token."""

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

    Attributes:
        base_url, timeout: those of the transport.
        clock: the service's clock, set by the times in its answers.
        extended: whether the service has the extensions of the contract; `None` until an answer
            showed it.
        has_line: whether the service has a line; `None` until an answer showed it. One without
            grants at once, even where `Asking.not_before` asks it not to.
    """

    def __init__(self, transport: AnyTransport, clock: ServerClock) -> None:
        self.base_url = transport.base_url
        self.timeout = transport.timeout
        self.clock = clock
        self.extended: bool | None = None
        self.has_line: bool | None = None
        self._transport = transport
        self._reader = AnswerReader(transport.base_url, transport.hide)
        self._resets = Resets(transport.system)

    # --- the calls

    @_without_frames
    def acquire(
        self,
        product_name: str,
        *,
        request_id: str,
        ttl: float | None = None,
        holder: str | None = None,
        force: bool = False,
        asking: Asking = LOOK,
    ) -> Grant | Wait:
        """Ask for an AppID once; the answer may be held back for as long as `asking` says.

        An extended service answers the same `request_id` with the same grant again.
        """
        body: dict[str, Any] = {"productName": product_name, "requestId": request_id}
        if force:
            body["forceAcquire"] = True
        if ttl is not None:
            body["ttl"] = ttl
        if holder is not None:
            body["holder"] = holder
        body |= asking.fields()
        answer = self._transport.call(
            "POST", "/api/appid/acquire", body=body, longer=asking.wait or 0.0
        )
        outcome = self._reader.read_acquire(answer, product_name)
        if isinstance(outcome, Wait):
            self.extended = outcome.server_time_ms is not None
            if outcome.line is not None:
                self.has_line = True
            elif asking.wait is not None or not self.extended:
                self.has_line = False
        else:
            self.extended = outcome.lease_id is not None
            self.has_line = outcome.fence is not None  # what has the one has the other
            if not self.extended:
                # An extended service can repeat an old grant. A field service has just made it.
                self.clock.observe(outcome.start_time, answer.sent, answer.received)
        if outcome.server_time_ms is not None:
            self.clock.observe(outcome.server_time_ms, answer.sent, answer.received)
        if outcome.hour_end_ms is not None:
            self.clock.observe_hour(outcome.hour_end_ms)
        return outcome

    @_without_frames
    def release(self, product_name: str, appid: str, *, lease_id: str | None = None) -> Release:
        """Release an AppID; with a `lease_id`, only if that lease still holds it."""
        body = {"appid": appid, "productName": product_name}
        if lease_id is not None:
            body["leaseId"] = lease_id
        answer = self._transport.call("POST", "/api/appid/release", body=body)
        released = self._reader.read_release(answer, product_name, appid)
        if released.stop_time is not None:
            self.clock.observe(released.stop_time, answer.sent, answer.received)
        return released

    @_without_frames
    def abandon(self, product_name: str, request_id: str) -> Release:
        """Release whatever an acquire got whose answer never came (extension).

        Raises:
            InvalidRequest: with the code `missing_appid`: it is a field service, which can't.
        """
        body = {"requestId": request_id, "productName": product_name}
        answer = self._transport.call("POST", "/api/appid/release", body=body)
        try:
            # Its stop time says nothing of the present time: the lease may have ended long ago.
            return self._reader.read_release(answer, product_name, None)
        except InvalidRequest as error:
            if error.code == NEEDS_APPID:
                self.extended = False
            raise

    @_without_frames
    def leave_line(self, product_name: str, ticket: str) -> None:
        """Leave the line (extension)."""
        body = {"ticket": ticket, "productName": product_name}
        answer = self._transport.call("POST", "/api/appid/release", body=body)
        self._reader.read_release(answer, product_name, None)

    @_without_frames
    def init(
        self, product_name: str, appids: Mapping[str, str | int], *, keep_state: bool = False
    ) -> int | None:
        """Set a product's AppIDs. `keep_state` (extension) keeps what is known of this hour.

        Returns:
            How many live leases that ended (extension); `None`: the service does not say.
        """
        body: dict[str, Any] = {"productName": product_name, "appids": dict(appids)}
        if keep_state:
            body["keepState"] = True
        with self._resets.noted(product_name):
            longer = len(appids) * _SECONDS_PER_APPID
            answer = self._transport.call("POST", "/api/appid/init", body=body, longer=longer)
        ended = self._reader.read_init(answer, product_name)
        if ended is not None:
            self.extended = True
        return ended

    @_without_frames
    def status_body(self, product_name: str | None = None) -> dict[str, Any]:
        """The status as the service sent it."""
        return self._reader.read_status_body(self._ask_status(product_name), product_name)

    @_without_frames
    def status(self, product_name: str | None = None) -> ProductStatus:
        """The status, typed."""
        found = self._reader.read_status(self._ask_status(product_name), product_name)
        if found.appids and not self.extended:
            # The only place where a field service says when its hours turn.
            start = found.appids[0].current_hour_ms
            self.clock.observe_hour(start + int(self.clock.hour_length * 1000))
        return found

    def _ask_status(self, product_name: str | None) -> Answer:
        """A status with all its AppIDs, which come in pages where the service has them."""
        query = {} if product_name is None else {"productName": product_name}
        if self.extended:
            query["limit"] = str(_PAGE)
        answer = self._ask_page(query)
        following = self._reader.read_next_page(answer)
        while following is not None:
            page = self._ask_page({**query, "after": str(following)})
            answer.body["appids"] += self._reader.read_page(page)
            following = self._reader.read_next_page(page, after=following)
        answer.body.pop("next", None)
        return answer

    def _ask_page(self, query: dict[str, str]) -> Answer:
        try:
            return self._transport.call("GET", "/api/appid/status", query=query or None)
        except RequestTimeout as error:
            if error.maybe_received:
                advice = "a status of many AppIDs takes longer than that: raise timeout"
                error.args = (f"{error}; {advice} (or {TIMEOUT_VARIABLE})",)
            raise

    @_without_frames
    def history_body(
        self, product_name: str | None = None, appid: str | None = None, *, limit: int = 100
    ) -> dict[str, Any]:
        """Who had which AppID when (extension), as the service sent it."""
        query = {"limit": str(limit)}
        if product_name is not None:
            query["productName"] = product_name
        if appid is not None:
            query["appid"] = appid
        answer = self._transport.call("GET", "/api/appid/history", query=query)
        return self._reader.read_list_body(answer, "leases", product_name, appid)

    @_without_frames
    def line_body(self, product_name: str, *, limit: int = 1_000) -> dict[str, Any]:
        """Who waits in line for a product (extension), as the service sent it."""
        query = {"productName": product_name, "limit": str(limit)}
        answer = self._transport.call("GET", "/api/appid/line", query=query)
        return self._reader.read_list_body(answer, "line", product_name)

    @_without_frames
    def products_body(self) -> dict[str, Any]:
        """All products and their counts (extension), as the service sent them."""
        answer = self._transport.call("GET", "/api/appid/products")
        return self._reader.read_list_body(answer, "products")

    @_without_frames
    def act(
        self, call: str, product_name: str, appid: str | None = None, **fields: Any
    ) -> dict[str, Any]:
        """Make an operator's call (extension): `reserve`, `pause`, or `release` by force.

        Fields that are `None` are left out. Returns what was answered.
        """
        every = {"productName": product_name, "appid": appid, **fields}
        body = {name: value for name, value in every.items() if value is not None}
        answer = self._transport.call("POST", f"/api/appid/{call}", body=body)
        return self._reader.read_act(answer, product_name, appid)

    @_without_frames
    def health(self) -> Health:
        """Ask whether the service is healthy, and what time it is there. Sent without a token.

        Raises:
            ProtocolError: it answers, but does not say that it is healthy.
        """
        answer = self._transport.call("GET", "/health", authenticated=False)
        health = self._reader.read_health(answer)
        self.extended = health.extended
        self.clock.observe(health.server_time_ms, answer.sent, answer.received)
        if health.hour_end_ms is not None:
            self.clock.observe_hour(health.hour_end_ms, health.hour_start_ms)
        return health

    @_without_frames
    def heartbeat(self, lease_ids: Sequence[str]) -> Heartbeats:
        """Extend each of these leases by its own `ttl` (extension)."""
        body = {"leaseIds": list(lease_ids)}
        answer = self._transport.call("POST", "/api/appid/heartbeat", body=body)
        return self._reader.read_heartbeat(answer)

    # --- what several calls tell together

    def was_reset(self, product_name: str, since: float) -> bool:
        """Whether an `init` of the product by this client may have come after that monotonic time.

        After an init, a field service has forgotten its earlier grants, and loses an AppID that is
        released without being acquired again.
        """
        return self._resets.may_have_come_after(product_name, since)

    def check_product(self, product_name: str) -> None:
        """Learn what the 202 of a field service leaves open: does the product exist, and its hours.

        Raises:
            ProductNotFound: the service has no AppID of that product.
        """
        self.learn_time()
        if self.status(product_name).total == 0:
            raise self.unknown_product(product_name)

    def check_product_after_wait(self, product_name: str) -> bool:
        """`check_product` after a 202, where the service sends one for unknown products, too.

        Returns whether that is known now. If a call fails, callers go by what the 202 said.

        Raises:
            ProductNotFound: the service has no AppID of that product.
        """
        if self.extended:
            return True
        try:
            self.check_product(product_name)
        except TransportError:
            return False
        return True

    def unknown_product(self, product_name: str) -> ProductNotFound:
        """The error for a product that the service has no AppIDs of."""
        return ProductNotFound(
            f"{self.base_url} knows no product {product_name!r}: check the name, "
            "or run init_product first",
            service=self.base_url,
            code="product_not_found",
            product_name=product_name,
        )

    def learn_hours(self, product_name: str) -> None:
        """Bring the clock up to date: by `/health`, and on a field service by a status, too."""
        self.learn_time()
        if not self.extended and not self.clock.hour_known:
            self.status(product_name)

    def learn_time(self) -> None:
        """Ask `/health`, if the time or the hours that are known are stale."""
        clock = self.clock
        told = clock.hour_known and clock.length_told
        if clock.age > _TIME_STALE or (self.extended is not False and not told):
            self.health()

    def hour_end_of(self, grant: Grant) -> float | None:
        """The end of the hour in which `grant` was made (epoch seconds); `None` if unknown.

        The `hour_end_ms` of a grant belongs to its answer. Where a repeated request got an old
        grant, that is a later hour than the grant's own.
        """
        start = grant.start_time / 1000
        if grant.hour_end_ms is not None:
            end = grant.hour_end_ms / 1000
            if end - self.clock.hour_length <= start < end:
                return end
        return self.clock.hour_end_after(start)
