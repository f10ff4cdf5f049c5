"""What is done with a product as a whole: its AppIDs are set, and its status is read.

Owns what the answers leave open: how many live leases an init ended, and whether there is such a
product at all. The calls themselves are in `api.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..checks import is_numeric
from ..errors import (
    AppIdManagerError,
    AuthenticationError,
    ServiceUnavailable,
    TransportError,
)
from ..runtime.time import SystemTime
from ..text import get_logger
from .api import ServiceApi
from .models import AppIdState
from .retry import LONGEST_CALL_BACKOFF, retry, unless_it_was_slow

logger = get_logger()


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
        body = retry(
            self._system,
            lambda attempt: self._api.status_body(product_name),
            longest=LONGEST_CALL_BACKOFF,
            may_retry=unless_it_was_slow,
        )
        if product_name is not None and body["total"] == 0 and self._is_extended():
            raise self._api.unknown_product(product_name)
        return body

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
