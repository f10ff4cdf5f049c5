"""What each role may do, over HTTP; what the history and the log say of who did it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from appid_manager_client.server.http import slowing
from appid_manager_client.server.http.slowing import WrongTokens
from appid_manager_client.testing import LocalService

TOKENS = ("ops admin token-of-ops", "ci use token-of-ci", "grafana read token-of-grafana")
READS: dict[str, dict[str, Any]] = {
    "status": {},
    "history": {},
    "products": {},
    "line": {"productName": "stt"},
}
USES: dict[str, dict[str, Any]] = {
    "acquire": {"productName": "stt"},
    "heartbeat": {"leaseIds": []},
    "release": {"productName": "stt", "requestId": "00000000-0000-4000-8000-000000000001"},
}
ACTS: dict[str, dict[str, Any]] = {
    "pause": {"productName": "stt", "paused": False},
    "reserve": {"productName": "stt", "appid": "b", "reserved": True},
    "release": {"productName": "stt", "appid": "a", "note": "stuck"},
    "init": {"productName": "asr", "appids": {"x": 1}},
}


class Callers:
    """Calls with the tokens of the file, by their names."""

    def __init__(self, url: str) -> None:
        self.url = url

    def post(self, name: str, call: str, body: dict[str, Any]) -> requests.Response:
        url = f"{self.url}/api/appid/{call}"
        return requests.post(url, json=body, headers=self.headers(name), timeout=30)

    def get(self, name: str, path: str, **query: Any) -> requests.Response:
        return requests.get(self.url + path, params=query, headers=self.headers(name), timeout=30)

    def headers(self, name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer token-of-{name}"}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("roles") / "tokens"
    file.write_text("\n".join(TOKENS))
    file.chmod(0o600)
    return file


@pytest.fixture(scope="module")
def service(tokens: Path) -> Iterator[LocalService]:
    with LocalService("token-of-token", tokens_file=tokens) as running:
        yield running


@pytest.fixture
def callers(service: LocalService) -> Callers:
    return prepared(service)


def prepared(service: LocalService) -> Callers:
    found = Callers(service.url)
    body = {"productName": "stt", "appids": {"a": 1, "b": 2}}
    assert found.post("ops", "init", body).status_code == 200
    found.post("ops", "reserve", {"productName": "stt", "appid": "b", "reserved": False})
    return found


def test_reading_needs_a_token_of_any_role(callers: Callers) -> None:
    for name in ("token", "ops", "ci", "grafana"):
        for call, query in READS.items():
            assert callers.get(name, f"/api/appid/{call}", **query).status_code == 200
        assert callers.get(name, "/metrics").status_code == 200
    assert callers.get("nobody", "/metrics").status_code == 401
    for path in ("/live", "/ready", "/health"):
        assert requests.get(callers.url + path, timeout=30).status_code == 200


@pytest.mark.parametrize("call", USES)
def test_acquires_and_releases_need_the_role_use(callers: Callers, call: str) -> None:
    refused = callers.post("grafana", call, USES[call])
    assert (refused.status_code, refused.json()["error"]) == (403, "forbidden")
    assert "'grafana' has the role read, not use" in refused.json()["message"]
    for name in ("ci", "ops"):
        assert callers.post(name, call, USES[call]).status_code == 200


@pytest.mark.parametrize("call", ACTS)
def test_acts_of_operators_need_the_role_admin(callers: Callers, call: str) -> None:
    assert callers.post("ci", "acquire", {"productName": "stt"}).json()["appid"] == "a"
    for name in ("grafana", "ci"):
        refused = callers.post(name, call, ACTS[call])
        assert (refused.status_code, refused.json()["error"]) == (403, "forbidden")
    for name in ("ops", "token")[: 1 if call == "release" else 2]:
        assert callers.post(name, call, ACTS[call]).status_code == 200


def test_a_release_by_name_is_no_act(callers: Callers) -> None:
    """As in the field: whoever may acquire may release by name, and the docs say so."""
    callers.post("ops", "acquire", {"productName": "stt"})
    body = {"productName": "stt", "appid": "a", "note": "", "by": "me"}
    assert callers.post("ci", "release", body).status_code == 200


def test_the_history_names_the_tokens(callers: Callers) -> None:
    callers.post("ci", "acquire", {"productName": "stt", "holder": "me"})
    callers.post("ops", "release", {**ACTS["release"], "by": "Ann"})
    found = callers.get("grafana", "/api/appid/history", productName="stt", limit=1).json()
    (lease,), (act,) = found["leases"], found["acts"]
    assert (lease["token"], lease["endedBy"], lease["holder"]) == ("ci", "ops", "me")
    assert (act["act"], act["appid"], act["token"]) == ("release", "a", "ops")
    assert (act["by"], act["note"]) == ("Ann", "stuck")


def test_ids_of_leases_are_not_shown_to_readers(callers: Callers) -> None:
    lease_id = callers.post("ci", "acquire", {"productName": "stt"}).json()["leaseId"]
    callers.post("ops", "release", ACTS["release"])
    for name, shown in (("grafana", False), ("ci", True), ("ops", True)):
        answer = callers.get(name, "/api/appid/history", productName="stt")
        assert (lease_id in answer.text) is shown
        assert answer.json()["acts"][0]["leaseId"] == (lease_id if shown else None)


def test_the_log_names_the_token_and_never_shows_it(
    tokens: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # A service of its own: ten refusals of a kind are logged in a minute, and no more.
    caplog.set_level(logging.INFO, "appid_manager_client.server")
    with LocalService("token-of-token", tokens_file=tokens) as service:
        callers = prepared(service)
        callers.post("ops", "reserve", ACTS["reserve"])
        callers.post("grafana", "acquire", {"productName": "stt"})
        callers.get("nobody", "/api/appid/status")
    assert "AppID b of product stt is reserved, for ops at 127.0.0.1:" in caplog.text
    assert "the token grafana has the role read, and this needs use" in caplog.text
    assert "the token is wrong" in caplog.text
    assert "token-of" not in caplog.text


def test_wrong_tokens_are_slowed_and_right_ones_never(
    callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slowing, "_FREE", 0)
    monkeypatch.setattr(slowing, "_FIRST", 1.0)
    wrong, right, missing = (
        _seconds(callers.url, headers)
        for headers in (callers.headers("nobody"), callers.headers("grafana"), {})
    )
    assert wrong >= 1.0 > max(right, missing)


def _seconds(url: str, headers: dict[str, str]) -> float:
    answer = requests.get(f"{url}/api/appid/products", headers=headers, timeout=30)
    return answer.elapsed.total_seconds()


def test_each_further_wrong_token_of_an_address_waits_longer() -> None:
    now = 0.0
    wrong = WrongTokens(lambda: now)
    delays = [wrong.note("10.0.0.1") for _ in range(12)]
    assert delays == [0, 0, 0, 0, 0, 0.25, 0.5, 1, 2, 4, 4, 4]
    assert wrong.note("10.0.0.2") == 0, "another address"
    now = 61.0
    assert wrong.note("10.0.0.1") == 0, "after a minute"


def test_addresses_are_forgotten_at_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slowing, "_MOST_ADDRESSES", 2)
    wrong = WrongTokens(lambda: 0.0)
    for _ in range(6):
        wrong.note("first")
    assert wrong.note("first") == 0.5
    wrong.note("second"), wrong.note("third")
    assert wrong.note("first") == 0
