"""`LocalService`, as users' tests use it."""

import socket
import tempfile
import threading

import pytest
import requests

from appid_manager_client.errors import ConfigurationError
from appid_manager_client.testing import LocalService
from tests.service.conftest import Api
from tests.support.waiting import wait_until


def test_it_starts_well_inside_an_hour():
    with LocalService() as service:
        gone = service.now_ms - service.hour.start
        assert 600_000 <= gone < 700_000
        assert service.hour.end - service.hour.start == 3_600_000


def test_its_clock_runs_and_can_be_turned_frozen_and_set():
    with LocalService() as service:
        first = service.now_ms
        service.advance(1000)
        assert 1_000_000 <= service.now_ms - first < 1_060_000
        service.clock.freeze()
        frozen = service.now_ms
        assert service.now_ms == frozen
        service.advance_to_next_hour()
        assert service.now_ms == service.hour.start
        service.advance_to_next_hour(offset=-1.5)
        assert service.now_ms == service.hour.end - 1_500
        service.set_time(12_345)
        assert service.now_ms == 12_345
        service.clock.unfreeze()
        assert 12_345 <= service.now_ms < 72_345


def test_short_hours_turn_by_themselves():
    with LocalService(hour_seconds=1) as service:
        first = service.hour
        wait_until(lambda: service.hour != first)
        assert service.hour.start >= first.end


def test_a_stop_refuses_callers_and_a_start_brings_everything_back():
    with LocalService() as service:
        api = Api(service)
        api.init("stt", {"a": 1})
        grant = api.acquire("stt")[1]
        url = service.url
        service.stop()
        assert not service.running
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{url}/health", timeout=5)
        service.start()
        assert service.url == url
        assert api.entry("stt", "a")["starttime"] == grant["starttime"]
        api.session.close()


def test_while_it_is_stopped_its_port_stays_its_own():
    with LocalService() as service:
        service.stop()
        port = int(service.url.rpartition(":")[2])
        with socket.socket() as other, pytest.raises(OSError):
            other.bind(("127.0.0.1", port))
            other.listen()
        service.start()


def test_two_stand_beside_each_other():
    with LocalService() as one, LocalService("token") as two:
        assert one.url != two.url
        assert one.status()["total"] == two.status()["total"] == 0


def test_status_and_history_need_no_token_from_the_test():
    with LocalService(auth_token="token") as service:
        api = Api(service)
        api.init("stt", {"a": 1})
        api.acquire("stt")
        api.session.close()
        assert service.status("stt")["in_use"] == 1
        assert [lease["appid"] for lease in service.history("stt", "a")] == ["a"]


def test_a_database_of_ones_own_is_kept(tmp_path):
    path = tmp_path / "kept.db"
    for expected in (0, 1):
        with LocalService(database=path) as service:
            assert service.status()["total"] == expected
            api = Api(service)
            api.init("stt", {"a": 1})
            api.session.close()
    assert path.exists()


def test_after_close_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set(threading.enumerate())
    service = LocalService()
    with service:
        assert list(tmp_path.glob("*/appids.db"))
    assert not list(tmp_path.iterdir())
    of_the_service = ("appid-local-service", "appid-service")
    left = set(threading.enumerate()) - before
    assert not any(thread.name.startswith(of_the_service) for thread in left)
    with pytest.raises(ConfigurationError, match="was closed"):
        service.start()


def test_stopping_and_closing_twice_is_fine():
    service = LocalService()
    service.start()
    service.start()
    service.stop()
    service.stop()
    service.close()
    service.close()
    assert "stopped" in repr(service)


def test_a_token_is_in_no_repr():
    with LocalService("s3cret") as service:
        assert "s3cret" not in repr(service)


@pytest.mark.parametrize("wrong", [{"hour_seconds": 0}, {"auth_token": ""}, {"timezone": "x"}])
def test_a_setting_that_can_t_be_used_is_named(wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        LocalService(**wrong)


def test_the_date_of_an_answer_is_that_of_its_clock():
    with LocalService() as service:
        service.set_time(86_400_000)
        service.clock.freeze()
        answer = requests.get(f"{service.url}/health", timeout=30)
    assert answer.headers["Date"] == "Fri, 02 Jan 1970 00:00:00 GMT"
