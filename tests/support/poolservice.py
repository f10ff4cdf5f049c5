"""An AppID service in memory, on a simulated clock, and a wire to it with delays and faults.

The service keeps the rule of the hour and has the calls of the wire contract that a pool makes. Of
the package it knows nothing but the answer and the errors of a transport.
"""

from __future__ import annotations

import random
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from appid_manager_client.errors import ServiceUnavailable
from appid_manager_client.runtime.time import SystemTime
from appid_manager_client.wire.answers import Answer

PRODUCT = "p"
EPOCH = 1_700_000_000.0
"""Where the service's clock stands when the machine's monotonic one is 0, apart from the skew."""


class TurnedTime(SystemTime):
    """A machine whose clock is turned by hand, and whose random numbers come from a seed."""

    def __init__(self, chances: random.Random) -> None:
        self.now = 0.0
        self._chances = chances

    def monotonic(self) -> float:
        return self.now

    def uniform(self, low: float, high: float) -> float:
        return self._chances.uniform(low, high)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        raise AssertionError("nothing waits on a simulated clock")


@dataclass
class Lent:
    """One grant of the service. Times are in ms on its clock; `hour` is the start of the hour."""

    appid: str
    hour: int
    start: int
    lease_id: str
    request_id: str
    stop: int | None = None


_IDS = ("leaseId", "requestId", "appid")


class FailedRelease(NamedTuple):
    """A release that never reached the service: what it named, and when (ms, service's clock)."""

    ids: frozenset[str]
    at: int


class SimulatedService:
    """The rule of the hour, and the calls of the wire contract that a pool makes."""

    def __init__(
        self,
        now_ms: Callable[[], int],
        appids: int,
        *,
        extended: bool = True,
        zone_minutes: int = 0,
        hour_seconds: int = 3600,
    ) -> None:
        self.now_ms = now_ms
        self._zone = zone_minutes * 60_000
        self.hour_ms = hour_seconds * 1000
        self.extended = extended
        self._free: OrderedDict[str, None] = OrderedDict((f"a{n}", None) for n in range(appids))
        self._used: list[str] = []
        self._used_in = self.hour_start()
        self._in_use: dict[str, Lent] = {}
        self._by_request: dict[str, Lent | None] = {}
        self.log: list[Lent] = []
        self.calls = 0
        self.error: tuple[int, str] | None = None
        """What every call but `/health` is answered, where it is set."""

    def hour_start(self, at: int | None = None) -> int:
        local = (self.now_ms() if at is None else at) + self._zone
        return local - local % self.hour_ms - self._zone

    def shift_zone(self, minutes: int) -> None:
        """Shift the zone, as some zones do in summer."""
        self._zone += minutes * 60_000

    @property
    def in_use(self) -> list[str]:
        return sorted(self._in_use)

    def call(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        self.calls += 1
        if path == "/health":
            return 200, self._health()
        if self.error is not None:
            return self.error[0], {"error": self.error[1], "message": "by the test"}
        endpoint: Callable[[Any], tuple[int, dict[str, Any]]]
        endpoint = getattr(self, "_" + path.rpartition("/")[2])
        return endpoint(body)

    def _health(self) -> dict[str, Any]:
        now = self.now_ms()
        body: dict[str, Any] = {"status": "healthy", "timestamp": now}
        if self.extended:
            body |= {"hourStart": self.hour_start(), **self._times(now)}
        return body

    def _times(self, now: int) -> dict[str, int]:
        return {"serverTime": now, "hourEnd": self.hour_start() + self.hour_ms}

    def _acquire(self, body: Any) -> tuple[int, dict[str, Any]]:
        now, hour = self.now_ms(), self.hour_start()
        self._free_what_was_used_before(hour)
        request = body["requestId"]
        lent = self._by_request.get(request) if self.extended else None
        if self.extended and request in self._by_request and (lent is None or lent.stop):
            code = "request_abandoned" if lent is None else "request_ended"
            return 409, {"error": code, "message": ""}
        if lent is None:
            if not self._free:
                return 202, self._wait(now)
            appid = self._free.popitem(last=False)[0]
            lent = Lent(appid, hour, now, f"lease-{len(self.log)}", request)
            self.log.append(lent)
            self._in_use[appid] = self._by_request[request] = lent
        answer = {
            "appid": lent.appid,
            "vid": int(lent.appid[1:]),
            "productName": PRODUCT,
            "starttime": lent.start,
        }
        if self.extended:
            answer |= {"leaseId": lent.lease_id, "expiresAt": None, **self._times(now)}
        return 200, answer

    def _wait(self, now: int) -> dict[str, Any]:
        body: dict[str, Any] = {
            "error": "no_available" if self._used else "waiting",
            "retry_after": 60,
            "message": "",
        }
        if self.extended:
            body |= {"availableAt": self.hour_start() + self.hour_ms, **self._times(now)}
        return body

    def _release(self, body: Any) -> tuple[int, dict[str, Any]]:
        if "requestId" in body:
            if not self.extended:
                return 400, {"error": "missing_appid", "message": ""}
            lent = self._by_request.setdefault(body["requestId"], None)
        else:
            lent = self._in_use.get(body["appid"])
            if lent is None or (self.extended and lent.lease_id != body.get("leaseId")):
                return 400, {"error": "already_released", "message": ""}
        now = self.now_ms()
        if lent is not None and lent.stop is None:
            self.end(lent, now)
        return 200, {
            "success": True,
            "stoptime": now,
            "appid": None if lent is None else lent.appid,
            "productName": PRODUCT,
        }

    def add(self, appid: str) -> None:
        """Add a free AppID, as `init` can."""
        self._free[appid] = None

    def drop_product(self) -> None:
        """Forget the product and all of its AppIDs."""
        self._free.clear()
        self._in_use.clear()

    def end(self, lent: Lent, now: int) -> None:
        """Take an AppID back."""
        lent.stop = now
        del self._in_use[lent.appid]
        self._free_what_was_used_before(self.hour_start())
        self._used.append(lent.appid)

    def _free_what_was_used_before(self, hour: int) -> None:
        if self._used_in != hour:
            self._free.update((appid, None) for appid in self._used)
            self._used, self._used_in = [], hour

    def _status(self, body: Any) -> tuple[int, dict[str, Any]]:
        used = set(self._used) if self._used_in == self.hour_start() else set()
        appids = sorted({*self._free, *self._used, *self._in_use})
        entries = [
            {
                "appid": appid,
                "vid": int(appid[1:]),
                "productName": PRODUCT,
                "status": (
                    "in_use"
                    if appid in self._in_use
                    else "used_in_current_hour" if appid in used else "available"
                ),
                "is_available": appid not in self._in_use and appid not in used,
                "starttime": self._in_use[appid].start if appid in self._in_use else None,
                "stoptime": None,
                "current_hour": self.hour_start(),
            }
            for appid in appids
        ]
        free = sum(bool(entry["is_available"]) for entry in entries)
        total = len(entries)
        return 200, {
            "total": total,
            "available": free,
            "in_use": total - free,
            "released": 0,
            "appids": entries,
        }

    def _heartbeat(self, body: Any) -> tuple[int, dict[str, Any]]:
        alive = {lent.lease_id for lent in self._in_use.values()}
        return 200, {
            "renewed": {lease: None for lease in body["leaseIds"] if lease in alive},
            "lost": [lease for lease in body["leaseIds"] if lease not in alive],
        }


class SimulatedWire:
    """Stands in for the transport. A call takes time, and may fail on its way there or back."""

    base_url = "http://simulated"
    timeout = 5.0

    def __init__(self, time: TurnedTime, chances: random.Random) -> None:
        self._time = self.system = time
        self._chances = chances
        self.service: SimulatedService
        self.delay = 0.004
        self.faults = 0.0
        """The part of the calls that fail, half of them after the service has acted."""
        self.down_until = 0.0
        self.lose_next = 0
        """How many answers of acquires get lost next."""
        self.failed_releases: list[FailedRelease] = []

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Any = None,
        authenticated: bool = True,
        longer: float = 0.0,
    ) -> Answer:
        time, chances = self._time, self._chances
        sent = time.now
        time.now += self.delay * chances.random()
        down = time.now < self.down_until
        fault = chances.random() < self.faults
        # A field service can't tell later what it granted in a lost answer: none is lost there.
        keeps = path.endswith("acquire") and not self.service.extended
        if down or (fault and (keeps or chances.random() < 0.5)):
            if path.endswith("release"):
                ids = frozenset(str(body[key]) for key in _IDS if key in body)
                self.failed_releases.append(FailedRelease(ids, self.service.now_ms()))
            reason = "down" if down else "refused"
            raise ServiceUnavailable(reason, service=self.base_url, maybe_received=False)
        status, answer = self.service.call(method, path, body)
        time.now += self.delay * chances.random()
        if path.endswith("acquire") and self.lose_next:
            self.lose_next -= 1
            fault = True
        if fault:
            raise ServiceUnavailable("answer lost", service=self.base_url)
        return Answer(status, answer, sent, time.now)

    def hide(self, text: str) -> str:
        return text
