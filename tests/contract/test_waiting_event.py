"""The WAITING event, from which the command line's countdown and metrics learn of a wait."""

from __future__ import annotations

import pytest

from appid_manager_client import AppIdClient, Event, EventKind, NoAppIdAvailable
from appid_manager_client.testing import LocalService


def test_a_wait_reports_its_reason_and_its_end_to_the_hook_and_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger="appid_manager_client")
    events: list[Event] = []
    with LocalService() as service, AppIdClient(service.url, on_event=events.append) as client:
        service.clock.freeze()
        client.init_product("p", {"a1": 1})
        client.release_appid(client.acquire_appid("p").appid, "p")
        with pytest.raises(NoAppIdAvailable):
            client.acquire_appid("p", max_retries=1, retry_interval=0)
        (waiting,) = [event for event in events if event.kind is EventKind.WAITING]
        assert waiting.reason == "every AppID is used up for this hour"
        assert waiting.available_at == service.hour.end / 1000
        assert waiting.seconds == pytest.approx((service.hour.end - service.now_ms) / 1000, abs=2)
        (message,) = [one.getMessage() for one in caplog.records if "waiting" in one.name]
        assert message.startswith(f"waiting {waiting.seconds:.0f} s for an AppID of p, until ")
        assert message.endswith(f" UTC: {waiting.reason}")


def test_a_wait_after_a_failure_reports_what_failed_and_how_long_it_lasts() -> None:
    events: list[Event] = []
    with LocalService() as service, AppIdClient(service.url, on_event=events.append) as client:
        service.stop()
        with pytest.raises(ConnectionError):
            client.acquire_appid("p", max_retries=1, retry_interval=0)
    (waiting,) = [event for event in events if event.kind is EventKind.WAITING]
    assert waiting.reason is not None and "refused" in waiting.reason
    assert waiting.available_at is None
    assert waiting.seconds == pytest.approx(0.05)
