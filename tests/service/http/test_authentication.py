"""Who may call, and how they show it."""

import pytest
import requests

from appid_manager_client.server.http import slowing
from appid_manager_client.testing import LocalService

TOKEN = "s3cret-token"


@pytest.fixture(autouse=True)
def _no_address_is_slowed(monkeypatch):
    monkeypatch.setattr(slowing, "_FREE", 1_000_000)


@pytest.fixture(scope="module")
def guarded():
    with LocalService(auth_token=TOKEN) as service:
        yield service


CALLS = [
    ("POST", "/api/appid/acquire"),
    ("POST", "/api/appid/release"),
    ("POST", "/api/appid/init"),
    ("POST", "/api/appid/heartbeat"),
    ("GET", "/api/appid/status"),
    ("GET", "/api/appid/history"),
    ("GET", "/nothing"),
]


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": ""},
        {"X-API-Key": "wrong"},
        {"X-API-Key": TOKEN + "x"},
        {"X-API-Key": TOKEN[:-1]},
        {"X-API-Key": TOKEN[:1]},
        {"X-API-Key": TOKEN[1:]},
        {"X-API-Key": TOKEN.upper()},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"X-API-Key": "\xff\xfe".encode("latin-1")},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
    ],
)
def test_a_call_without_the_token_is_unauthorized(guarded, method, path, headers):
    answer = requests.request(method, guarded.url + path, headers=headers, json={}, timeout=30)
    assert answer.status_code == 401
    assert answer.json()["error"] == "unauthorized"
    assert TOKEN not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": TOKEN},
        {"Authorization": f"Bearer {TOKEN}"},
        {"Authorization": f"bearer  {TOKEN}"},
        {"X-API-Key": "wrong", "Authorization": f"Bearer {TOKEN}"},
    ],
)
def test_either_header_is_enough(guarded, headers):
    answer = requests.get(f"{guarded.url}/api/appid/status", headers=headers, timeout=30)
    assert answer.status_code == 200


def test_health_asks_for_no_token(guarded):
    assert requests.get(f"{guarded.url}/health", timeout=30).status_code == 200


def test_who_sends_a_large_body_without_the_token_gets_to_read_the_answer(guarded):
    answer = requests.post(
        f"{guarded.url}/api/appid/init", data=b"x" * (40 * 1024 * 1024), timeout=30
    )
    assert answer.status_code == 401
