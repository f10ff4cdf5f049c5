"""`AppIdClient.reap()`: what it releases, and what it does about refusals and lost answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from appid_manager_client import AppIdClient, Reaped
from appid_manager_client.journal.journal import Journal
from appid_manager_client.testing import LocalService
from tests.support.field import FieldService

from .files import names


@pytest.fixture
def client(journal: Journal) -> Iterator[AppIdClient]:
    with LocalService() as service, AppIdClient(service.url, journal=journal.directory) as client:
        client.init_product("stt", {"a1": 1})
        yield client


def leave(journal: Journal, client: AppIdClient, appid: str, lease_id: str) -> None:
    entry = journal.open(service=client.base_url, product_name="stt", request_id=lease_id)
    entry.granted(appid=appid, vid=1, start_time=1, lease_id=lease_id)
    entry.leave()


def test_what_a_dead_process_held_is_released_and_logged_with_its_holder(
    journal: Journal, client: AppIdClient, caplog: pytest.LogCaptureFixture
) -> None:
    entry = journal.open(
        service=client.base_url, product_name="stt", request_id="unused", holder="nightly"
    )
    appid, vid, start_time, _ = client.acquire_appid("stt")
    entry.granted(appid=appid, vid=vid, start_time=start_time)
    entry.leave()
    assert client.reap() == (Reaped("stt", "a1", "nightly", True),)
    assert client.get_status("stt")["appids"][0]["status"] == "used_in_current_hour"
    assert "released AppID a1 (product stt), which a dead process held (holder: nightly)" in (
        caplog.text
    )
    assert names(journal) == []


def test_an_entry_that_the_service_refuses_stays_and_keeps_no_other_from_its_release(
    journal: Journal, client: AppIdClient, caplog: pytest.LogCaptureFixture
) -> None:
    for appid, lease_id in (("a1", "unknown"), ("a2", "too long" * 40), ("a3", "unknown too")):
        leave(journal, client, appid, lease_id)
    assert {reaped.appid for reaped in client.reap()} == {"a1", "a3"}
    assert "release of AppID a2 (product stt), which a dead process held, was refused" in (
        caplog.text
    )
    assert len(names(journal, ".lease")) == 1


def test_a_lost_answer_of_a_field_service_is_logged_without_candidates_that_nobody_knows(
    journal: Journal, field_service: FieldService, caplog: pytest.LogCaptureFixture
) -> None:
    url, token = field_service.url, field_service.auth_token
    with AppIdClient(url, auth_token=token, journal=journal.directory) as client:
        client.init_product("p", {"a": 1})
        journal.open(service=client.base_url, product_name="p", request_id="unanswered").leave()
        assert client.reap() == (Reaped("p", None, None, False),)
    assert "an AppID may stay in use until somebody releases it" in caplog.text
    assert "candidates" not in caplog.text


def test_what_is_held_at_another_service_is_left_to_its_own_reaper(
    journal: Journal, client: AppIdClient
) -> None:
    with LocalService() as service, AppIdClient(service.url, journal=journal.directory) as other:
        other.init_product("stt", {"b1": 1})
        entry = journal.open(service=other.base_url, product_name="stt", request_id="unused")
        appid, vid, start_time, _ = other.acquire_appid("stt")
        entry.granted(appid=appid, vid=vid, start_time=start_time)
        entry.leave()
        assert client.reap() == ()
        assert len(names(journal)) == 1
        assert [reaped.appid for reaped in other.reap()] == ["b1"]
        assert service.status("stt")["appids"][0]["status"] == "used_in_current_hour"
