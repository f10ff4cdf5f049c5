"""docs/contract.md is held against the running service: the fields of its answers, its refusals."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from appid_manager_client.testing import LocalService

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "contract.md").read_text(encoding="utf-8")

Answer = tuple[int, dict[str, Any]]


class Caller:
    """Sends what it is told to, and returns status and body."""

    def __init__(self, service: LocalService) -> None:
        self._url = service.url
        self._headers = {"X-API-Key": str(service.auth_token)}

    def post(self, call: str, **body: Any) -> Answer:
        return self.send("POST", f"/api/appid/{call}", json=body)

    def get(self, path: str, **query: Any) -> Answer:
        return self.send("GET", path, params=query)

    def send(self, method: str, path: str, **more: Any) -> Answer:
        headers = more.pop("headers", self._headers)
        sent = requests.request(method, self._url + path, headers=headers, timeout=30, **more)
        return sent.status_code, sent.json()


@pytest.fixture
def caller(tmp_path: Path) -> Iterator[Caller]:
    tokens = tmp_path / "tokens"
    tokens.write_text("grafana read reader")
    tokens.chmod(0o600)
    with LocalService(auth_token="secret", tokens_file=tokens) as service:
        yield Caller(service)


def section(*headings: str) -> set[str]:
    """The words in backticks below some headings."""
    words: set[str] = set()
    for heading in headings:
        parts = re.findall(rf"^#+ {heading}\n(.*?)(?=^#+ |\Z)", TEXT, re.DOTALL | re.MULTILINE)
        assert parts, heading
        words.update(word for part in parts for word in re.findall(r"`(\w+)[`:]", part))
    return words


def keys(value: object) -> set[str]:
    """The field names of an answer, at any depth."""
    if isinstance(value, list):
        return {key for item in value for key in keys(item)}
    if isinstance(value, dict):
        return {*value, *(key for item in value.values() for key in keys(item))}
    return set()


def test_every_field_of_every_answer_is_described(caller: Caller) -> None:
    _, done = caller.post("init", productName="stt", appids={"a1": 1})
    assert keys(done) <= section("Init")
    _, grant = caller.post("acquire", productName="stt", ttl=60, holder="me")
    assert keys(grant) <= section("Acquire")
    code, nothing = caller.post("acquire", productName="stt")
    assert code == 202
    assert keys(nothing) <= section("Acquire")
    _, status = caller.get("/api/appid/status", productName="stt")
    assert keys(status) <= section("Status")
    _, beat = caller.post("heartbeat", leaseIds=[grant["leaseId"], "other"])
    assert beat["renewed"].keys() == {grant["leaseId"]}
    assert beat.keys() <= section("Heartbeat")
    _, reserved = caller.post("reserve", productName="stt", appid="a1", reserved=True, note="x")
    assert keys(reserved) <= section("Reserve")
    _, paused = caller.post("pause", productName="stt", paused=True, note="x")
    assert keys(paused) <= section("Pause")
    assert keys(caller.post("acquire", productName="stt")[1]) <= section("Acquire")
    _, status = caller.get("/api/appid/status", productName="stt")
    assert keys(status) <= section("Status")
    _, products = caller.get("/api/appid/products")
    assert keys(products) <= section("Products")
    _, released = caller.post("release", productName="stt", appid="a1", note="stuck")
    assert keys(released) <= section("Release")
    _, history = caller.get("/api/appid/history")
    assert keys(history) <= section("History")
    _, health = caller.get("/health")
    assert keys(health) <= section("Health")


def refusals(caller: Caller) -> Iterator[Answer]:
    """One of every kind that a service can be brought to."""
    ours = {"productName": "stt"}
    caller.post("init", **ours, appids={"a1": 1, "a2": 2})
    caller.post("init", productName="other", appids={"b1": 1})
    ended, given_up = str(uuid.uuid4()), str(uuid.uuid4())
    caller.post("acquire", **ours, requestId=ended)
    caller.post("release", **ours, appid="a1")
    caller.post("release", **ours, requestId=given_up)

    yield caller.post("acquire")
    yield caller.post("release", **ours)
    yield caller.post("init", **ours)
    yield caller.post("release")
    yield caller.post("release", **ours, appid="typo")
    yield caller.post("release", **ours, appid="b1")
    yield caller.post("release", **ours, appid="a1")
    yield caller.post("release", **ours, appid="a2")
    yield caller.post("acquire", productName=7)
    yield caller.send("GET", "/api/appid/status", headers={})
    yield caller.send("POST", "/api/appid/acquire", headers={"Origin": "http://elsewhere"})
    yield caller.send("POST", "/api/appid/acquire", headers={"X-API-Key": "reader"})
    yield caller.post("acquire", productName="typo")
    yield caller.get("/typo")
    yield caller.get("/api/appid/acquire")
    yield caller.post("acquire", **ours, requestId=ended)
    yield caller.post("acquire", **ours, requestId=given_up)
    yield caller.post("release", **ours, appid="a1", leaseId="other")
    yield caller.post("init", **ours, appids={"b1": 1})
    caller.post("acquire", productName="other")
    yield caller.post("reserve", productName="other", appid="b1", reserved=False)
    yield caller.post("acquire", productName="x" * 2**20)


def test_every_refusal_is_listed_with_its_status(caller: Caller) -> None:
    table = section_of_refusals()
    heard = {(status, body["error"]) for status, body in refusals(caller)}
    # A failure inside the service can't be called for; a caller that is too slow takes long, and
    # ten thousand that wait are many.
    elsewhere = {
        (408, "request_timeout"),
        (429, "too_many_waiting"),
        (500, "internal_error"),
        (503, "unavailable"),
    }
    assert heard == table - elsewhere


def section_of_refusals() -> set[tuple[int, str]]:
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \|", TEXT, re.MULTILINE)
    assert len(rows) == len(set(rows))
    return {(int(status), code) for status, code in rows}
