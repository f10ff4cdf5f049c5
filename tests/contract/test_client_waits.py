"""How the documented calls wait, against both kinds of service."""

from __future__ import annotations


import pytest

from appid_manager_client import (
    AppIdClient,
    NoAppIdAvailable,
)
from tests.support.field import FieldService
from tests.support.machine import TurnedSystem
from tests.support.services import AnyService, client_of, turned_client, use_up


def test_the_wait_for_an_exhausted_product_ends_at_the_turn_of_the_hour(
    service: AnyService, client: AppIdClient
) -> None:
    use_up(client)
    turn = service.hour_end()
    got = client.acquire_appid("p")
    assert turn <= got.start_time / 1000 < turn + 30, "generous, as the service's clock runs on"
    assert [grant.appid for grant in service.grants] == ["a", "a"]
    waits = [call for call in service.calls_of("acquire")][1:]
    assert len(waits) <= 55, "one poll a minute"


def test_nothing_is_waited_for_that_comes_after_the_timeout(
    service: AnyService, client: AppIdClient
) -> None:
    client.acquire_appid("p")
    turn = service.hour_end()
    with pytest.raises(NoAppIdAvailable) as caught:
        client.acquire_appid("p", timeout=600)
    error = caught.value
    assert (error.attempts, error.product_name, error.service) == (1, "p", service.url)
    assert error.available_at == pytest.approx(turn, abs=0.001)


def test_a_timeout_of_zero_is_one_try(service: AnyService, client: AppIdClient) -> None:
    assert client.acquire_appid("p", timeout=0).appid == "a"
    with pytest.raises(NoAppIdAvailable):
        client.acquire_appid("p", timeout=0)
    assert len(service.calls_of("acquire")) == 2


def test_force_takes_what_was_used_this_hour_and_polls_for_what_is_in_use(
    service: AnyService,
) -> None:
    system = TurnedSystem(followers=(service.advance,))
    with turned_client(service, system=system) as client:
        client.acquire_appid("p")
        with pytest.raises(NoAppIdAvailable):
            client.acquire_appid("p", 3, 7, force=True)
        assert system.pauses == [7, 7, 7]
        client.release_appid("a", "p")
        assert client.acquire_appid("p", force=True).appid == "a"


@pytest.mark.parametrize("used", [0, 1, 2], ids=["never used", "one of each", "all used"])
def test_force_finds_what_was_never_used_as_well_as_what_was(
    any_service: AnyService, used: int
) -> None:
    """A forced acquire of a field service passes over what was never used."""
    any_service.init("p", {"a": 1, "b": 2})
    with turned_client(any_service) as client:
        for _ in range(used):
            use_up(client)
        before = len(any_service.calls_of("acquire"))
        got = {client.acquire_appid("p", 0, force=True).appid for _ in range(2)}
        assert got == {"a", "b"}
        assert len(any_service.calls_of("acquire")) - before <= 4  # two for each at the most


def test_a_legacy_service_is_asked_for_its_hours_once_an_hour_not_at_every_poll() -> None:
    with FieldService(accept_text_vids=True) as service:
        service.set_time(service.model.hour_start() / 1000 + 600)
        service.init("p", {"a": 1})
        with turned_client(service) as client:
            client.acquire_appid("p")
            with pytest.raises(NoAppIdAvailable):
                client.acquire_appid("p", max_retries=20)
        assert len(service.calls_of("acquire")) == 22
        assert len(service.calls_of("status")) == 1
        assert len(service.calls_of("health")) <= 1


@pytest.mark.parametrize("minutes", [0, 330, 345, -210])
def test_a_legacy_service_s_hours_turn_where_its_zone_has_them(minutes: int) -> None:
    with FieldService(zone_offset_minutes=minutes, accept_text_vids=True) as service:
        service.set_time(service.model.hour_start() / 1000 + 600)
        service.init("p", {"a": 1})
        turn = service.model.hour_end() / 1000
        with turned_client(service) as client:
            use_up(client)
            assert turn <= client.acquire_appid("p").start_time / 1000 < turn + 30


def test_the_turn_is_met_in_real_time_never_early_and_within_a_moment(
    service: AnyService,
) -> None:
    with turned_client(service) as client:
        use_up(client)
    service.advance_to_next_hour(-1.5)
    with client_of(service) as client:
        turn = service.hour_end()
        got = client.acquire_appid("p", timeout=60)
    tries = [call.time for call in service.calls_of("acquire")][1:]
    if service.is_legacy:
        assert len(tries) == 2, "one before the turn, one after it"
        assert turn <= tries[1]
    else:
        assert len(tries) == 3, "a look, one for a place in line, and one that was held"
        assert tries[2] < turn
    assert turn <= got.start_time / 1000 < turn + 5
