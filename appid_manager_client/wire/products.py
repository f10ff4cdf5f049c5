"""What is done with products as a whole: AppIDs are set and reserved, states are read and counted.

Owns what the answers leave open: how many live leases an init ended, whether there is such a
product at all, and what a service that lacks a call can do instead. The calls are in `api.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ..checks import is_numeric
from ..errors import (
    AppIdManagerError,
    AuthenticationError,
    InvalidRequest,
    ServiceUnavailable,
    TransportError,
)
from ..runtime.time import SystemTime
from ..text import get_logger
from .api import ServiceApi
from .models import AppIdState, AppIdStatus
from .retry import LONGEST_CALL_BACKOFF, retry, unless_it_was_slow

logger = get_logger()

T = TypeVar("T")

_NO_SUCH_CALL = frozenset({"not_found", "method_not_allowed"})
"""Codes of an extended service that is older than a call."""


class Products:
    """The products of one service, as `AppIdClient.init_product` and `get_status` see them."""

    def __init__(self, api: ServiceApi, system: SystemTime) -> None:
        self._api = api
        self._system = system

    def initialize(
        self, product_name: str, appids: Mapping[str, str | int], *, keep_state: bool
    ) -> None:
        """Set the AppIDs of a product. A warning is logged if that ended live leases."""
        before = None if self._api.extended else self._live_leases(product_name)
        try:
            ended = retry(
                self._system,
                lambda attempt: self._api.init(product_name, appids, keep_state=keep_state),
                longest=LONGEST_CALL_BACKOFF,
                may_retry=lambda error: not error.maybe_received,
            )
        except ServiceUnavailable as error:
            if error.status == 500 and not all(is_numeric(vid) for vid in appids.values()):
                error.args = (f"{error}; field services take only vids that are numbers",)
            raise
        if ended is None:
            ended = 0 if keep_state and self._is_extended() else before
        if ended:
            advice = "this service can't keep them" if keep_state else "keep_state=True keeps them"
            logger.warning(
                "the init of product %s at %s ended %d live %s: who holds one shares its AppID "
                "with the next holder; %s",
                product_name,
                self._api.base_url,
                ended,
                "lease" if ended == 1 else "leases",
                advice,
            )

    def status(self, product_name: str | None) -> dict[str, Any]:
        """The status of one product or of all, as the service sends it.

        Raises:
            ProductNotFound: an extended service knows no such product. A field service is asked
                about products before their init, and does not say.
        """
        body = self._ask(lambda: self._api.status_body(product_name))
        if product_name is not None and body["total"] == 0 and self._is_extended():
            raise self._api.unknown_product(product_name)
        return body

    def overview(self) -> dict[str, Any]:
        """All products and their counts: as the service sends them, or counted from its status."""
        self._ask(self._api.learn_time)
        if self._api.extended:
            try:
                return self._ask(self._api.products_body)
            except InvalidRequest as error:
                if error.code not in _NO_SUCH_CALL:
                    raise
        by_product: dict[str, list[AppIdStatus]] = {}
        for entry in self._ask(self._api.status).appids:
            by_product.setdefault(entry.product_name, []).append(entry)
        end = self._api.clock.hour_end()
        end_ms = None if end is None else round(end * 1000)
        return {
            "products": [_count(name, those, end_ms) for name, those in by_product.items()],
            "serverTime": round(self._api.clock.now() * 1000),
            "hourEnd": end_ms,
        }

    def reserve(
        self, appid: str, product_name: str, *, reserved: bool, note: str | None, by: str | None
    ) -> str:
        """Reserve an AppID or take it back into use. Returns its status after that.

        Raises:
            InvalidRequest: the service can't, or refuses it.
        """
        self._require_acts("reserve AppIDs", product_name, appid)
        in_doubt = False

        def send(attempt: int) -> str:
            nonlocal in_doubt
            try:
                done = self._act(
                    "reserve", product_name, appid, reserved=reserved, note=note, by=by
                )
                return str(done.get("status", ""))
            except TransportError as error:
                in_doubt = in_doubt or error.maybe_received
                raise
            except InvalidRequest as error:
                if in_doubt and not reserved and error.code == AppIdState.IN_USE.value:
                    # An earlier try freed it, its answer was lost, and somebody has it now.
                    return AppIdState.IN_USE.value
                raise

        return retry(self._system, send, longest=LONGEST_CALL_BACKOFF)

    def pause(self, product_name: str, *, paused: bool, note: str | None, by: str | None) -> None:
        """Pause a product, or have its AppIDs granted again.

        Raises:
            InvalidRequest: the service can't, or refuses it.
        """
        self._require_acts("pause products", product_name, None)
        retry(
            self._system,
            lambda attempt: self._act("pause", product_name, paused=paused, note=note, by=by),
            longest=LONGEST_CALL_BACKOFF,
        )

    def release_by_force(self, appid: str, product_name: str, *, note: str, by: str | None) -> None:
        """Release an AppID, whoever has it.

        It isn't sent again where it may have been received: somebody else may have the AppID then.

        Raises:
            InvalidRequest: the service can't, or refuses it.
        """
        self._require_acts("say why an AppID is released", product_name, appid)
        retry(
            self._system,
            lambda attempt: self._act("release", product_name, appid, note=note, by=by),
            longest=LONGEST_CALL_BACKOFF,
            may_retry=lambda error: not error.maybe_received,
        )

    def _act(
        self, call: str, product_name: str, appid: str | None = None, **fields: Any
    ) -> dict[str, Any]:
        try:
            return self._api.act(call, product_name, appid, **fields)
        except InvalidRequest as error:
            if error.code in _NO_SUCH_CALL:
                why = f"is an older version of the service, which has no call {call!r}"
                raise self._cannot(why, product_name, appid) from None
            raise

    def _require_acts(self, what: str, product_name: str, appid: str | None) -> None:
        """Refuse a field service, before anything is sent that it would take for something else."""
        if self._api.extended is None:
            self._ask(self._api.health)
        if not self._api.extended:
            raise self._cannot(f"is a field service, which can't {what}", product_name, appid)

    def _cannot(self, why: str, product_name: str, appid: str | None) -> InvalidRequest:
        return InvalidRequest(
            f"{self._api.base_url} {why}; nothing was changed",
            service=self._api.base_url,
            product_name=product_name,
            appid=appid,
        )

    def _ask(self, call: Callable[[], T]) -> T:
        """Make a call that changes nothing; a failure that may pass is tried again."""
        return retry(
            self._system,
            lambda attempt: call(),
            longest=LONGEST_CALL_BACKOFF,
            may_retry=unless_it_was_slow,
        )

    def _live_leases(self, product_name: str) -> int | None:
        """How many AppIDs of the product are in use; `None` if the service does not say."""
        try:
            entries = self._api.status(product_name).appids
        except AuthenticationError:
            raise  # the init would be refused too
        except TransportError as error:
            if not error.retryable:
                raise  # the init would not get there either
            return None  # what is wrong shows with the init
        except Exception:  # a mock's own, too
            return None
        return sum(entry.status == AppIdState.IN_USE.value for entry in entries)

    def _is_extended(self) -> bool:
        """Whether the service has the extensions. Asks it if no answer has shown that yet."""
        if self._api.extended is None:
            try:
                self._api.health()
            except AppIdManagerError:
                return False
        return bool(self._api.extended)


def _count(name: str, entries: list[AppIdStatus], hour_end: int | None) -> dict[str, object]:
    """One product as `GET /api/appid/products` has it: nobody waits in line here."""
    free = sum(entry.is_available for entry in entries)
    # One that was released without having been acquired comes back only by force.
    can_come = any(entry.start_time is not None for entry in entries)
    return {
        "productName": name,
        "total": len(entries),
        "available": free,
        "in_use": len(entries) - free,
        "waiting": 0,
        "next": hour_end if can_come and not free else None,
    }
