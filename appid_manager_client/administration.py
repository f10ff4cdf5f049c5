"""What a client does with products as a whole, and what operators do: init, status, reserve, pause.

Owns the checks of the arguments. The calls, and what their answers leave open, are in
`wire/products.py`; leases are the business of `client.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .checks import check_appids, check_name
from .runtime.identity import MAX_HOLDER
from .wire.products import Products

LONGEST_NOTE = 500
"""The most characters of a note (wire contract, "Extensions")."""


class Administration:
    """The calls of an `AppIdClient` that are about products, not about leases."""

    _products: Products

    def init_product(
        self, product_name: str, appids: Mapping[str, str | int], *, keep_state: bool = False
    ) -> bool:
        """Initialize or reset the AppIDs of a product.

        This forgets what is in use and what was used in this hour, unless `keep_state` is set. A
        warning is logged with the number of live leases that it ended.

        Args:
            product_name: the product.
            appids: `{appid: vid}`. Field services take only vids that are numbers.
            keep_state: keep what is known of this hour's use. Only services with the extensions
                can; others reset.

        The answer may take the client's `timeout`, and a second more for every 10,000 AppIDs.

        Returns:
            `True`.

        Raises:
            ValueError, TypeError: an argument is wrong; nothing was sent.
            AppIdConflict: an AppID belongs to another product; nothing was changed.
            AuthenticationError, InvalidRequest, TransportError, ProtocolError: it was not done,
                or nobody knows.
        """
        check_name(product_name, "product_name")
        check_appids(appids)
        self._products.initialize(product_name, appids, keep_state=keep_state)
        return True

    def get_status(self, product_name: str | None = None) -> dict[str, Any]:
        """Get the status and statistics of one product or of all, as the service sends them.

        Raises:
            ValueError, TypeError: an argument is wrong; nothing was sent.
            ProductNotFound: a service with the extensions knows no such product. A field service
                answers with zeros.
            AuthenticationError, InvalidRequest, TransportError, ProtocolError: no usable answer.
        """
        if product_name is not None:
            check_name(product_name, "product_name")
        return self._products.status(product_name)

    def products(self) -> dict[str, Any]:
        """Get all products: how many AppIDs each has, and when the next one can be free.

        A service without the extensions has no such call: the same is counted from its status.

        Returns:
            `{"products": [...], "serverTime": ..., "hourEnd": ...}`. Each product has
            `productName`, `total`, `available`, `in_use` (also those that were used in this
            hour), `waiting` (how many wait in line) and `next`: `None` while one is available,
            and where none will be. One that is paused has `paused`, too. Times are milliseconds
            since the Unix epoch on the service's clock.

        Raises:
            AuthenticationError, InvalidRequest, TransportError, ProtocolError: no usable answer.
        """
        return self._products.overview()

    def reserve_appid(
        self,
        appid: str,
        product_name: str,
        reserved: bool = True,
        note: str | None = None,
        *,
        by: str | None = None,
    ) -> str:
        """Take an AppID out of use, for maintenance, or take it back into use (extension).

        A reserved AppID is granted to nobody, not by force either. Whoever has it keeps it: it is
        reserved from its release on. It stays reserved through every init that names it.
        Back in use, it is free as its last use allows. A last release that lies in the future,
        because the service's clock was wrong then, is forgotten.

        Args:
            appid: the AppID.
            product_name: its product.
            reserved: `False` takes it back into use.
            note: why it is reserved, for people who read the status; at most 500 characters.
            by: who does it, for people who read the history; at most 200 characters.

        Returns:
            The status of the AppID after that, as `get_status` has it: `"reserved"`, `"in_use"`,
            `"available"` or `"used_in_current_hour"`.

        Raises:
            ValueError, TypeError: an argument is wrong; nothing was sent.
            AppIdNotFound, ProductMismatch: the product has no such AppID.
            InvalidRequest: the service can't reserve AppIDs (a field service; nothing was sent);
                or `reserved` is `False`, and the AppID is in use and not reserved (its `code` is
                then `"in_use"`).
            AuthenticationError, TransportError, ProtocolError: it was not done, or nobody knows.
        """
        check_name(appid, "appid")
        check_name(product_name, "product_name")
        if not isinstance(reserved, bool):
            raise TypeError(f"reserved must be a bool, not {type(reserved).__name__}")
        _check_said(note, by)
        return self._products.reserve(appid, product_name, reserved=reserved, note=note, by=by)

    def pause_product(
        self,
        product_name: str,
        paused: bool = True,
        note: str | None = None,
        *,
        by: str | None = None,
    ) -> None:
        """Pause a product: nothing of it is granted, and who waits in line waits on (extension).

        Whoever holds an AppID keeps it, and can give it back. A pause survives every init. What
        other callers have sent already may still be granted, for a moment.

        Args:
            product_name: the product.
            paused: `False` has its AppIDs granted again.
            note: why, for people who read the history; at most 500 characters.
            by: who does it, for people who read the history; at most 200 characters.

        Raises:
            ValueError, TypeError: an argument is wrong; nothing was sent.
            ProductNotFound: there is no such product.
            InvalidRequest: the service can't pause products (a field service; nothing was sent).
            AuthenticationError, TransportError, ProtocolError: it was not done, or nobody knows.
        """
        check_name(product_name, "product_name")
        if not isinstance(paused, bool):
            raise TypeError(f"paused must be a bool, not {type(paused).__name__}")
        _check_said(note, by)
        self._products.pause(product_name, paused=paused, note=note, by=by)

    def force_release(
        self, appid: str, product_name: str, note: str, *, by: str | None = None
    ) -> None:
        """Release an AppID that is stuck, whoever has it, and note why (extension).

        Its holder loses it: a lease of this library notices with its next heartbeat. The history
        says who did it.

        Args:
            appid: the AppID.
            product_name: its product.
            note: why; at most 500 characters.
            by: who does it; at most 200 characters.

        Raises:
            ValueError, TypeError: an argument is wrong; nothing was sent.
            AppIdNotFound, ProductMismatch: the product has no such AppID.
            InvalidRequest: nobody has it (its `code` is `"already_released"` or `"not_leased"`); or
                the service is a field service, and nothing was sent.
            AuthenticationError: the token's role is not `admin`, or there is no such token.
            TransportError, ProtocolError: it was not done, or nobody knows: it isn't tried again
                then, as somebody else may have the AppID by then.
        """
        check_name(appid, "appid")
        check_name(product_name, "product_name")
        check_name(note, "note", longest=LONGEST_NOTE)
        _check_said(None, by)
        self._products.release_by_force(appid, product_name, note=note, by=by)


def _check_said(note: str | None, by: str | None) -> None:
    if note is not None:
        check_name(note, "note", longest=LONGEST_NOTE)
    if by is not None:
        check_name(by, "by", longest=MAX_HOLDER)
