"""Reads the answers of the wire contract: a JSON body becomes a model or a typed error. No I/O.

Owns the shapes, the bounds and the error codes. What follows from an answer (the service's time,
whether it has the extensions) is for `api.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..errors import (
    AppIdConflict,
    AppIdNotFound,
    InvalidRequest,
    ProductMismatch,
    ProductNotFound,
    ProtocolError,
)
from .models import (
    END_OF_TIME_MS,
    FENCES_END,
    AppIdStatus,
    Grant,
    Health,
    Heartbeats,
    Place,
    ProductStatus,
    Release,
    Wait,
)

NOT_HELD = frozenset(
    {"already_released", "not_leased", "lease_mismatch", "appid_not_found", "product_mismatch"}
)
"""Codes that refuse a release because the AppID is not held, or not by this lease."""

NEEDS_APPID = "missing_appid"
"""The code of a field service for a release that names a request and no AppID."""

_BY_CODE: dict[str, type[InvalidRequest]] = {
    "product_not_found": ProductNotFound,
    "appid_not_found": AppIdNotFound,
    "product_mismatch": ProductMismatch,
    "appid_conflict": AppIdConflict,
}

LONGEST_TICKET = 64
"""The longest ticket of a place in line, in characters."""

_LONGEST_WAIT = 1e9
"""Every `retry_after` is shorter, in seconds: a larger number is no answer of the contract."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON object that came with a status of 2xx or 4xx.

    `sent` and `received` are the monotonic times just before the request and just after the answer.
    """

    status: int
    body: dict[str, Any] = field(repr=False)
    sent: float
    received: float


class AnswerReader:
    """Reads the answers of one service.

    Each method takes the answer to one call. They raise `InvalidRequest` (or the error for its
    code) where the service refused the call, and `ProtocolError` where a field of the answer does
    not have the shape of the contract. That message names the field and shows what it held.

    Args:
        service: the base URL, for errors.
        hide: removes the token from a text, as an answer can repeat it.
    """

    def __init__(self, service: str, hide: Callable[[str], str]) -> None:
        self._service = service
        self._hide = hide

    def read_acquire(self, answer: Answer, product_name: str) -> Grant | Wait:
        """Read the answer to an acquire."""
        if answer.status == 200:
            return self._grant(answer, product_name)
        if answer.status == 202:
            return self._wait(answer)
        raise self._refusal(answer, product_name)

    def read_release(self, answer: Answer, product_name: str, appid: str | None) -> Release:
        """Read the answer to a release. `appid` is `None` where only a request was named."""
        self._expect_success(answer, product_name, appid)
        stop_time = self._optional_integer(answer, "stoptime")
        released = answer.body.get("appid", appid)
        return Release(released if isinstance(released, str) else None, stop_time)

    def read_init(self, answer: Answer, product_name: str) -> int | None:
        """Read the answer to an init: how many live leases it ended, if the service says so."""
        self._expect_success(answer, product_name)
        return self._optional_integer(answer, "ended")

    def read_act(self, answer: Answer, product_name: str, appid: str | None) -> dict[str, Any]:
        """Read the answer to an operator's call. A status in it is text."""
        self._expect_success(answer, product_name, appid)
        if not isinstance(answer.body.get("status", ""), str):
            raise self._malformed(answer, "status")
        return answer.body

    def read_status_body(self, answer: Answer, product_name: str | None) -> dict[str, Any]:
        """Check the counts of a status, and return its body."""
        self._total(answer, product_name)
        return answer.body

    def read_status(self, answer: Answer, product_name: str | None) -> ProductStatus:
        """Read a status with all its entries."""
        total = self._total(answer, product_name)
        appids = tuple(self._entry(answer, entry) for entry in answer.body["appids"])
        return ProductStatus(total, appids)

    def read_next_page(self, answer: Answer, after: int = 0) -> int | None:
        """What the next page of a status comes after, itself behind `after`; `None`: no more."""
        if answer.status != 200 or "next" not in answer.body:
            return None
        following = self._integer(answer, "next")
        if following <= after or not isinstance(answer.body.get("appids"), list):
            raise self._malformed(answer, "next")
        return following

    def read_page(self, answer: Answer) -> list[Any]:
        """The AppIDs of a further page of a status, as the service sent them."""
        entries: list[Any] = self.read_list_body(answer, "appids")["appids"]
        return entries

    def read_list_body(
        self,
        answer: Answer,
        name: str,
        product_name: str | None = None,
        appid: str | None = None,
    ) -> dict[str, Any]:
        """Check that a body holds a list of objects under `name`, and return that body."""
        self._expect_ok(answer, product_name, appid)
        entries = answer.body.get(name)
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise self._malformed(answer, name)
        return answer.body

    def read_health(self, answer: Answer) -> Health:
        """Read the answer of `/health`."""
        self._expect_ok(answer)
        if answer.body.get("status") != "healthy":
            raise self._malformed(answer, "status")
        extended = "serverTime" in answer.body
        return Health(
            self._integer(answer, "serverTime" if extended else "timestamp"),
            self._optional_integer(answer, "hourStart"),
            self._optional_integer(answer, "hourEnd"),
            extended,
        )

    def read_heartbeat(self, answer: Answer) -> Heartbeats:
        """Read the answer to a heartbeat."""
        self._expect_ok(answer)
        renewed, lost = answer.body.get("renewed"), answer.body.get("lost")
        if not isinstance(renewed, dict) or not isinstance(lost, list):
            raise self._malformed(answer, "renewed" if isinstance(lost, list) else "lost")
        return Heartbeats(renewed, frozenset(lease for lease in lost if isinstance(lease, str)))

    def _grant(self, answer: Answer, product_name: str) -> Grant:
        body = answer.body
        appid, vid, lease_id = body.get("appid"), body.get("vid"), body.get("leaseId")
        if not isinstance(appid, str) or not appid:
            raise self._malformed(answer, "appid")
        if isinstance(vid, bool) or not isinstance(vid, (str, int)):
            raise self._malformed(answer, "vid")
        if body.get("productName", product_name) != product_name:
            raise self._malformed(answer, "productName")
        if lease_id is not None and not isinstance(lease_id, str):
            raise self._malformed(answer, "leaseId")
        return Grant(
            appid,
            vid,
            product_name,
            self._integer(answer, "starttime"),
            lease_id,
            self._optional_integer(answer, "expiresAt"),
            self._optional_integer(answer, "serverTime"),
            self._optional_integer(answer, "hourEnd"),
            self._optional_integer(answer, "fence", FENCES_END),
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
        return Wait(
            reason,
            float(retry_after),
            self._optional_integer(answer, "availableAt"),
            self._optional_integer(answer, "serverTime"),
            self._optional_integer(answer, "hourEnd"),
            self._place(answer),
            answer.body.get("paused") is True,
        )

    def _place(self, answer: Answer) -> Place | None:
        ticket, window = answer.body.get("ticket"), answer.body.get("checkIn")
        if ticket is None:
            return None
        if not isinstance(ticket, str) or not 0 < len(ticket) <= LONGEST_TICKET:
            raise self._malformed(answer, "ticket")
        if not isinstance(window, dict):
            raise self._malformed(answer, "checkIn")
        times = Answer(answer.status, window, answer.sent, answer.received)
        return Place(
            ticket,
            self._integer(answer, "place"),
            self._integer(answer, "waiting"),
            answer.body.get("due") is True,
            *(self._integer(times, name) for name in ("from", "by", "until")),
        )

    def _total(self, answer: Answer, product_name: str | None) -> int:
        """How many AppIDs a status counts. Also checks its other counts, and its list."""
        self._expect_ok(answer, product_name)
        if not isinstance(answer.body.get("appids"), list):
            raise self._malformed(answer, "appids")
        names = ("total", "available", "in_use", "released")
        total, *_ = [self._integer(answer, name) for name in names]
        return total

    def _entry(self, answer: Answer, entry: object) -> AppIdStatus:
        if not isinstance(entry, dict):
            raise self._malformed(answer, "appids")
        appid, product, status = (entry.get(name) for name in ("appid", "productName", "status"))
        if not (isinstance(appid, str) and isinstance(product, str) and isinstance(status, str)):
            raise self._malformed(answer, "appids")
        fields = Answer(answer.status, entry, answer.sent, answer.received)
        return AppIdStatus(
            appid=appid,
            vid=entry.get("vid", ""),
            product_name=product,
            status=status,
            is_available=entry.get("is_available") is True,
            start_time=self._optional_integer(fields, "starttime"),
            stop_time=self._optional_integer(fields, "stoptime"),
            current_hour_ms=self._integer(fields, "current_hour"),
        )

    def _integer(self, answer: Answer, name: str, bound: int = END_OF_TIME_MS) -> int:
        value = answer.body.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < bound:
            raise self._malformed(answer, name)
        return value

    def _optional_integer(
        self, answer: Answer, name: str, bound: int = END_OF_TIME_MS
    ) -> int | None:
        return None if answer.body.get(name) is None else self._integer(answer, name, bound)

    def _expect_success(self, answer: Answer, product_name: str, appid: str | None = None) -> None:
        self._expect_ok(answer, product_name, appid)
        if answer.body.get("success") is not True:
            raise self._malformed(answer, "success")

    def _expect_ok(
        self, answer: Answer, product_name: str | None = None, appid: str | None = None
    ) -> None:
        if answer.status != 200:
            raise self._refusal(answer, product_name, appid)

    def _refusal(
        self, answer: Answer, product_name: str | None, appid: str | None = None
    ) -> InvalidRequest | ProtocolError:
        """The error for a 4xx. The contract has no other status here but the successes."""
        code = answer.body.get("error")
        if not 400 <= answer.status < 500 or not isinstance(code, str):
            return self._malformed(answer, "error")
        about = f" for product {product_name!r}" if product_name is not None else ""
        about += f" and AppID {appid!r}" if appid is not None else ""
        return _BY_CODE.get(code, InvalidRequest)(
            f"{self._service} refused the request{about}: {code} ({_words(answer)[:200]})",
            service=self._service,
            code=code,
            status=answer.status,
            product_name=product_name,
            appid=appid,
        )

    def _malformed(self, answer: Answer, name: str) -> ProtocolError:
        shown = "nothing"
        if name in answer.body:
            shown = self._hide(_shown(answer.body[name]))[:80]
        return ProtocolError(
            f"{self._service} answered {answer.status} with {shown} as {name!r}: "
            "is it an AppID service?",
            service=self._service,
            status=answer.status,
        )


def _words(answer: Answer) -> str:
    """What the service says for people."""
    message = answer.body.get("message", "")
    return message if isinstance(message, str) else _shown(message)


def _shown(value: object) -> str:
    try:
        return repr(value)
    except RecursionError:  # it is nested so deeply that `repr` fails
        return f"a deeply nested {type(value).__name__}"
