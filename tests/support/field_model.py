"""What a field service does with its AppIDs: the rules of the base of the wire contract, no I/O.

Written from that contract alone. As slow as the services in the field: one lock, and a scan of
every AppID at each call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

Json = dict[str, Any]
Answer = tuple[int, Json]

LONGEST_RETRY_AFTER = 300
WAITING_RETRY_AFTER = 60


class Grant(NamedTuple):
    """One AppID granted. `hour` is the start of the service's hour; both times are in ms."""

    appid: str
    product: str
    hour: int
    starttime: int
    forced: bool


class Return(NamedTuple):
    """One AppID released; one that was never acquired (a trap) has `starttime` None."""

    appid: str
    product: str
    hour: int
    starttime: int | None
    stoptime: int


@dataclass
class _Record:
    appid: str
    vid: Any
    product: str
    starttime: int | None = None
    stoptime: int | None = None

    @property
    def in_use(self) -> bool:
        return self.starttime is not None and self.stoptime is None

    @property
    def poisoned(self) -> bool:
        """Released without ever having been acquired: only a forced acquire finds it again."""
        return self.starttime is None and self.stoptime is not None


class _Refused(Exception):
    def __init__(self, code: str, message: str) -> None:
        self.answer: Answer = (400, {"error": code, "message": message})


class FieldModel:
    """The rules over one dict. Each call takes a decoded body; it returns a status and a JSON body.

    - `now_ms`: the service's clock.
    - `zone_offset_minutes`: where its hours begin; with 330 (+5:30) they begin at :30 UTC.
    - `hour_seconds`: shorter hours for tests in real time. No field service has this.
    - `accept_text_vids`: don't answer 500 for a `vid` that isn't a number.
    """

    def __init__(
        self,
        now_ms: Callable[[], int],
        *,
        zone_offset_minutes: int = 0,
        hour_seconds: float = 3600,
        accept_text_vids: bool = False,
    ) -> None:
        self._now_ms = now_ms
        self._zone_ms = zone_offset_minutes * 60_000
        self._hour_ms = int(hour_seconds * 1000)
        self._accept_text_vids = accept_text_vids
        self._lock = threading.Lock()  # guards all that follows
        self._records: dict[str, _Record] = {}
        self._grants: list[Grant] = []
        self._returns: list[Return] = []

    # What a test looks at

    @property
    def grants(self) -> list[Grant]:
        """Every grant so far, in order."""
        with self._lock:
            return list(self._grants)

    @property
    def returns(self) -> list[Return]:
        """Every release that counted, in order."""
        with self._lock:
            return list(self._returns)

    def in_use(self, product: str | None = None) -> list[str]:
        """The AppIDs that are in use, in the order of `init`."""
        with self._lock:
            return [r.appid for r in self._of(product) if r.in_use]

    def hour_start(self, at_ms: int | None = None) -> int:
        """The start of the hour of that time (by default now), in ms."""
        local = (self._now_ms() if at_ms is None else at_ms) + self._zone_ms
        return local - local % self._hour_ms - self._zone_ms

    def hour_end(self) -> int:
        return self.hour_start() + self._hour_ms

    def forget(self) -> None:
        """Forget all AppIDs, as a restart does. What the test looks at stays."""
        with self._lock:
            self._records.clear()

    # The calls of the contract

    def acquire(self, body: Json | None) -> Answer:
        with self._lock:
            product = _required(body or {}, "productName", "missing_product_name")
            now = self._now_ms()
            mine = self._of(product)
            if (body or {}).get("forceAcquire"):
                # Whatever was released before, and nothing that was never used.
                takes = [r for r in mine if r.stoptime is not None]
            else:
                takes = [r for r in mine if self._is_free(r, now)]
            if not takes:
                return 202, self._wait(mine, now)
            found = takes[0]
            forced = not self._is_free(found, now)
            found.starttime, found.stoptime = now, None
            self._grants.append(Grant(found.appid, product, self.hour_start(now), now, forced))
            return 200, {
                "appid": found.appid,
                "vid": found.vid,
                "productName": product,
                "starttime": now,
            }

    def release(self, body: Json | None) -> Answer:
        with self._lock:
            if not body:
                raise _Refused("missing_data", "the body is empty")
            appid = _required(body, "appid", "missing_appid")
            product = _required(body, "productName", "missing_product_name")
            record = self._records.get(appid)
            if record is None:
                raise _Refused("appid_not_found", f"no AppID {appid}")
            if record.product != product:
                raise _Refused("product_mismatch", f"{appid} belongs to another product")
            if record.stoptime is not None:
                raise _Refused("already_released", f"{appid} is already released")
            # The trap: nothing asks whether it was ever acquired.
            now = record.stoptime = self._now_ms()
            self._returns.append(
                Return(appid, product, self.hour_start(now), record.starttime, now)
            )
            return 200, {
                "success": True,
                "stoptime": now,
                "productName": product,
                "message": f"released {appid}",
            }

    def init(self, body: Json | None) -> Answer:
        with self._lock:
            if not body:
                raise _Refused("missing_data", "the body is empty")
            product = _required(body, "productName", "missing_product_name")
            appids = _required(body, "appids", "missing_appids")
            old = self._of(product)
            for record in old:
                del self._records[record.appid]
            for appid, vid in appids.items():
                # One that can't be stored ends it half done.
                self._records[appid] = _Record(appid, self._stored_vid(vid), product)
            return 200, {
                "success": True,
                "productName": product,
                "removed_count": len(old),
                "added_count": len(appids),
                "message": f"{product} has {len(appids)} AppIDs",
            }

    def status(self, product: str | None = None) -> Answer:
        with self._lock:
            now = self._now_ms()
            entries = [self._entry(record, now) for record in self._of(product)]
            names = [entry["status"] for entry in entries]
            body: Json = {
                "total": len(entries),
                "available": names.count("available"),
                "in_use": names.count("in_use") + names.count("used_in_current_hour"),
                "released": names.count("released"),
                "appids": entries,
            }
            if product is not None:
                body["productName"] = product
            return 200, body

    def health(self) -> Answer:
        return 200, {"status": "healthy", "timestamp": self._now_ms()}

    # Rules. The caller holds the lock.

    def _of(self, product: str | None) -> list[_Record]:
        return [r for r in self._records.values() if product is None or r.product == product]

    def _is_free(self, record: _Record, now: int) -> bool:
        if record.in_use or record.poisoned:
            return False
        return record.stoptime is None or self.hour_start(record.stoptime) < self.hour_start(now)

    def _wait(self, mine: list[_Record], now: int) -> Json:
        released = [r.stoptime for r in mine if r.stoptime is not None]
        # In the hours after a trap this is not so for its AppID, and never again.
        if released and all(self.hour_start(stop) >= self.hour_start(now) for stop in released):
            # Truncated, as in the field: in the last second it is 0.
            until_hour_end = (self.hour_start(now) + self._hour_ms - now) // 1000
            return {
                "error": "no_available",
                "retry_after": min(until_hour_end, LONGEST_RETRY_AFTER),
                "message": "every AppID was used in this hour",
            }
        return {
            "error": "waiting",
            "retry_after": WAITING_RETRY_AFTER,
            "message": "every AppID is in use",
        }

    def _entry(self, record: _Record, now: int) -> Json:
        free = self._is_free(record, now)
        if record.in_use:
            status = "in_use"
        elif record.stoptime is None:
            status = "available"
        elif self.hour_start(record.stoptime) >= self.hour_start(now):
            status = "used_in_current_hour"
        else:
            status = "released"
        stopped = record.stoptime
        return {
            "appid": record.appid,
            "vid": record.vid,
            "productName": record.product,
            "starttime": record.starttime,
            "stoptime": stopped,
            "status": status,
            "is_available": free,
            "stoptime_hour": None if stopped is None else self.hour_start(stopped),
            "current_hour": self.hour_start(now),
        }

    def _stored_vid(self, vid: Any) -> Any:
        try:
            return int(vid)
        except (TypeError, ValueError):
            if self._accept_text_vids:
                return vid
            raise


def answer(call: Callable[[], Answer]) -> Answer:
    """The answer to a call; refusals and unexpected errors are answers too."""
    try:
        return call()
    except _Refused as refused:
        return refused.answer
    except Exception as error:  # noqa: B902 - the contract: anything unexpected is a 500
        return 500, {"error": "internal_error", "message": type(error).__name__}


def _required(body: Json, field: str, code: str) -> Any:
    value = body.get(field)
    if not value:
        raise _Refused(code, f"{field} is required")
    return value
