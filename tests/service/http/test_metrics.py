"""`/metrics`: the same state as the other calls tell, what the process did, and nothing secret."""

from __future__ import annotations

import uuid
from pathlib import Path
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from appid_manager_client.server.http import metrics
from appid_manager_client.testing import LocalService
from tests.service.conftest import Api

Figures = dict[tuple[str, ...], float]


def scrape(service: LocalService, token: str | None = None) -> Figures:
    """All figures, by name and labels."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with requests.Session() as session:
        answer = session.get(f"{service.url}/metrics", headers=headers, timeout=20)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_the_state_is_that_of_the_status(service_on_each_engine):
    service = service_on_each_engine
    api = Api(service)
    with api.session:
        api.init("p", {f"a{n}": n for n in range(10)})
        appids = [api.acquire("p")[1]["appid"] for _ in range(5)]
        for appid in appids[:2]:
            api.release("p", appid=appid)
        for appid in ("a9", appids[4]):  # the latter is in use: from its release on
            api.post("reserve", {"productName": "p", "appid": appid, "reserved": True})
    figures = scrape(service)
    state = {one: figures["appid_appids", "p", one] for one in ("available", "in_use", "reserved")}
    assert state == {"available": 4, "in_use": 2, "reserved": 2}
    assert figures["appid_appids", "p", "used_in_current_hour"] == 2
    counts = service.status("p")
    assert counts["available"] == state["available"]
    assert sum(v for (name, *_), v in figures.items() if name == "appid_appids") == 10


def test_who_waits_is_counted_and_who_is_held(service, api):
    api.init("p", {"a": 1})
    api.acquire("p")
    for wait in (0, None):
        body = {"requestId": str(uuid.uuid4())} | ({} if wait is None else {"wait": wait})
        assert api.acquire("p", **body)[0] == 202
    figures = scrape(service)
    assert figures["appid_waiting", "p"] == 1
    assert figures["appid_nothing_granted_total", "p", "waiting"] == 2
    assert figures["appid_nothing_granted_without_place_total", "p"] == 1
    assert figures["appid_held_requests",] == 0


def test_appids_that_were_held_over_the_turn_are_carried(service_on_each_engine):
    service = service_on_each_engine
    api = Api(service)
    with api.session:
        api.init("p", {name: 1 for name in "abcd"})
        for name in "abc":
            assert api.acquire("p")[1]["appid"] == name
        api.release("p", appid="c")
        assert scrape(service)["appid_carried_appid_hours", "p"] == 0
        service.advance_to_next_hour()
        api.release("p", appid="b")
        assert api.acquire("p")[1]["appid"] == "d"
        assert scrape(service)["appid_carried_appid_hours", "p"] == 2, "a, and b in this hour"
        service.advance_to_next_hour()
        assert scrape(service)["appid_carried_appid_hours", "p"] == 2, "a and d"


def test_pauses_history_and_commits_are_told(service, api):
    api.init("p", {"a": 1, "b": 2})
    before = scrape(service)
    for name in "ab":
        api.acquire("p"), api.release("p", appid=name)
    api.post("pause", {"productName": "p", "paused": True})
    figures = scrape(service)
    assert (before["appid_paused", "p"], figures["appid_paused", "p"]) == (0, 1)
    assert (before["appid_history_rows",], figures["appid_history_rows",]) == (0, 2)
    commits = figures["appid_commit_seconds_count",] - before["appid_commit_seconds_count",]
    assert commits >= 5


def test_what_the_process_did_is_counted(service, api):
    api.init("p", {"a": 1, "b": 2})
    api.acquire("p", ttl=1)
    api.acquire("p")
    assert api.acquire("nowhere")[0] == 404
    code, refused = api.post("reserve", {"productName": "p", "appid": "x", "reserved": True})
    assert code >= 400
    service.advance(2)
    api.init("p", {"a": 1, "b": 2})
    figures = scrape(service)
    assert figures["appid_grants_total", "p"] == 2
    assert figures["appid_refusals_total", "product_not_found"] == 1
    assert figures["appid_refusals_total", refused["error"]] == 1
    assert figures["appid_expired_leases_total", "p"] == 1
    assert figures["appid_reset_leases_total", "p"] == 1
    assert figures["appid_store_seconds_count",] > 4
    into_the_hour = figures["appid_first_grant_lateness_seconds", "p"]
    assert 0 <= into_the_hour < 3600


def test_the_first_grant_of_each_hour_says_how_late_it_was(service, api):
    api.init("p", {"a": 1, "b": 2})
    service.advance_to_next_hour(0.25)
    api.acquire("p")
    service.advance(100)
    api.acquire("p")
    late = scrape(service)["appid_first_grant_lateness_seconds", "p"]
    assert late == pytest.approx(0.25, abs=0.01)


def test_further_products_are_added_up(service, api, monkeypatch):
    monkeypatch.setattr(metrics, "MOST_PRODUCTS", 2)
    for number in range(4):
        api.init(f"p{number}", {f"p{number}-{n}": n for n in range(4 - number)})
        api.acquire(f"p{number}")
    figures = scrape(service)
    assert figures["appid_appids", "p0", "available"] == 3
    assert figures["appid_appids", metrics.OTHERS, "in_use"] == 2
    assert figures["appid_grants_total", metrics.OTHERS] == 2
    assert ("appid_grants_total", "p3") not in figures


def test_names_are_escaped(service, api):
    name = 'a"b\\c\nd'
    api.init(name, {"x": 1})
    assert scrape(service)["appid_appids", name, "available"] == 1


def test_a_token_is_asked_for_and_never_shown():
    with LocalService(auth_token="t0p-secret-t0ken") as guarded:
        with requests.Session() as session:
            assert session.get(f"{guarded.url}/metrics", timeout=20).status_code == 401
            headers = {"X-API-Key": "t0p-secret-t0ken"}
            answer = session.get(f"{guarded.url}/metrics", headers=headers, timeout=20)
        assert answer.status_code == 200 and "t0p-secret" not in answer.text
        assert scrape(guarded, "t0p-secret-t0ken")


def test_every_figure_is_explained(service, api):
    api.init("p", {"a": 1})
    api.acquire("p")
    explained = (Path(__file__).parents[3] / "docs" / "operating.md").read_text(encoding="utf-8")
    with requests.Session() as session:
        told = session.get(f"{service.url}/metrics", timeout=20).text
    for family in text_string_to_metric_families(told):
        total = "_total" if family.type == "counter" else ""
        assert f"`{family.name}{total}" in explained
        assert family.documentation
