"""Our own service for tests that run against both, with the faults, gates and log of the model."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from contextlib import closing
from typing import Any, Self
from urllib.parse import urlsplit

from appid_manager_client.testing import LocalService

from .faulty import Answer, Call, FaultyService
from .field_model import Grant

OUR_TOKEN = "local-token"

_make_service: Callable[[str | None, int | None], LocalService] = LocalService


def use_services(make: Callable[[str | None, int | None], LocalService]) -> None:
    """Have `our_service` make services in another way: as replicas."""
    global _make_service
    _make_service = make


def our_service(auth_token: str | None = None, hour_seconds: int | None = None) -> LocalService:
    """A service that is not started yet; `--replicas` makes it two on PostgreSQL."""
    return _make_service(auth_token, hour_seconds)


class OurService(FaultyService):
    """A `LocalService` (`local`) with the methods of a `FieldService`.

    Its callers use `url`, where the faults are; `local` itself has another URL.
    """

    is_legacy = False

    def __init__(self, *, hour_seconds: int | None = None) -> None:
        self.auth_token = OUR_TOKEN
        self.local = our_service(OUR_TOKEN, hour_seconds)
        super().__init__("our-service")

    def __enter__(self) -> Self:
        self.local.__enter__()
        return super().__enter__()

    def close(self) -> None:
        super().close()
        self.local.close()

    def init(self, product: str, appids: dict[str, Any]) -> None:
        status, body = self._forward(
            "POST",
            "/api/appid/init",
            json.dumps({"productName": product, "appids": appids}).encode(),
            {"X-API-Key": OUR_TOKEN},
        )
        assert status == 200, body

    def advance(self, seconds: float) -> None:
        self.local.advance(seconds)

    def advance_to_next_hour(self, offset: float = 0.0) -> None:
        self.local.advance_to_next_hour(offset)

    def now(self) -> float:
        return self.local.now_ms / 1000

    def hour_end(self) -> float:
        return self.local.hour.end / 1000

    @property
    def grants(self) -> list[Grant]:
        hour = self.local.hour
        return [
            Grant(
                appid=lease["appid"],
                product=lease["productName"],
                hour=lease["starttime"]
                - (lease["starttime"] - hour.start) % (hour.end - hour.start),
                starttime=lease["starttime"],
                forced=False,
            )
            for lease in reversed(self.local.history())
        ]

    def in_use(self, product: str | None = None) -> list[str]:
        entries = self.local.status(product)["appids"]
        return [entry["appid"] for entry in entries if entry["status"] == "in_use"]

    def _act(self, call: Call) -> Answer:
        headers = dict(call.raw.headers)
        headers.pop("Connection", None)
        return self._forward(call.method, call.raw.target, call.raw.body, headers)

    def _forward(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> Answer:
        address = urlsplit(self.local.url)
        with closing(http.client.HTTPConnection(address.netloc, timeout=60)) as connection:
            connection.request(method, target, body=body or None, headers=headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
