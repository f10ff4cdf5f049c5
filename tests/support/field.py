"""A field service as a test double: `FieldModel` behind HTTP/1.0, with faults, gates and a log.

It knows nothing of the extensions, closes the connection after each answer, and ignores fields
that it doesn't know.
"""

from __future__ import annotations

import json
from typing import Any

from .clock import TurnedClock
from .faulty import Answer, Call, FaultyService
from .field_model import FieldModel, Grant, Return, answer

FIELD_TOKEN = "field-token"

_ROUTES = {
    ("POST", "/api/appid/acquire"),
    ("POST", "/api/appid/release"),
    ("POST", "/api/appid/init"),
    ("GET", "/api/appid/status"),
    ("GET", "/health"),
}


class FieldService(FaultyService):
    """A field service on a free loopback port.

    with FieldService() as service:
        service.init("stt_billing", {"a1": 1, "a2": 2})
        client = AppIdClient(service.url, auth_token=service.auth_token)

    - `offset`: its clock is that many seconds ahead of the real one; `frozen_at`: its clock stands
      still at that time instead. `advance` and `set_time` turn either, and its Date header.
    - `auth_token=None` lets everybody in.
    - the others: see `FieldModel`.
    """

    is_legacy = True

    def __init__(
        self,
        *,
        auth_token: str | None = FIELD_TOKEN,
        offset: float = 0.0,
        frozen_at: float | None = None,
        zone_offset_minutes: int = 0,
        hour_seconds: float = 3600,
        accept_text_vids: bool = False,
    ) -> None:
        self.auth_token = auth_token
        self.clock = TurnedClock(offset, frozen_at=frozen_at)
        self.model = FieldModel(
            self.clock.time_ms,
            zone_offset_minutes=zone_offset_minutes,
            hour_seconds=hour_seconds,
            accept_text_vids=accept_text_vids,
        )
        super().__init__("field-service")

    # What a test arranges

    def init(self, product: str, appids: dict[str, Any]) -> None:
        """As the call, without HTTP."""
        status, body = self.model.init({"productName": product, "appids": appids})
        assert status == 200, body

    def advance(self, seconds: float) -> None:
        """Turn the clock forward."""
        self.clock.advance(seconds)

    def advance_to_next_hour(self, offset: float = 0.0) -> None:
        """Turn the clock to `offset` seconds after the end of this hour (before it if negative)."""
        self.clock.set_time(self.hour_end() + offset)

    def set_time(self, seconds: float) -> None:
        self.clock.set_time(seconds)

    def forget(self) -> None:
        """Lose everything, as a restart does in the field."""
        self.model.forget()

    # What a test looks at

    def now(self) -> float:
        return self.clock.time()

    def hour_end(self) -> float:
        """When the service's hour ends, in seconds since the Unix epoch on its clock."""
        return self.model.hour_end() / 1000

    @property
    def grants(self) -> list[Grant]:
        return self.model.grants

    @property
    def returns(self) -> list[Return]:
        return self.model.returns

    def in_use(self, product: str | None = None) -> list[str]:
        return self.model.in_use(product)

    # The calls

    def _act(self, call: Call) -> Answer:
        if call.path != "/health" and not self._is_authorised(call):
            return 401, {"error": "unauthorized", "message": "a valid token is required"}
        if (call.method, call.path) not in _ROUTES:
            return 404, {"error": "not_found", "message": f"no {call.method} {call.path}"}
        return answer(lambda: self._dispatch(call))

    def _dispatch(self, call: Call) -> Answer:
        match call.path.rpartition("/")[2]:
            case "acquire":
                return self.model.acquire(_decoded(call))
            case "release":
                return self.model.release(_decoded(call))
            case "init":
                return self.model.init(_decoded(call))
            case "status":
                return self.model.status(call.query.get("productName"))
            case _:
                return self.model.health()

    def _is_authorised(self, call: Call) -> bool:
        if self.auth_token is None:
            return True
        return (
            call.header("X-API-Key") == self.auth_token
            or call.header("Authorization") == f"Bearer {self.auth_token}"
        )


def _decoded(call: Call) -> Any:
    # Decoded here, so that a body that isn't JSON is an internal error, as it is in the field.
    return json.loads(call.raw.body) if call.raw.body else None
