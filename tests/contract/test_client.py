"""The documented calls against both kinds of service: results, refusals, and lost answers."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from appid_manager_client import (
    Acquisition,
    AppIdClient,
    AppIdNotFound,
    AuthenticationError,
    ClientClosed,
    InvalidRequest,
    NoAppIdAvailable,
    ProductMismatch,
    ProductNotFound,
    ServiceUnavailable,
)
from appid_manager_client.runtime.time import SystemTime
from tests.support.faults import Fault
from tests.support.field import FieldService
from tests.support.machine import TurnedSystem
from tests.support.ours import OurService
from tests.support.services import AnyService, client_of, turned_client
from tests.support.waiting import PATIENCE, wait_until


def paths(service: AnyService) -> list[str]:
    return [call.path.rpartition("/")[2] for call in service.calls]


# The documented calls


def test_the_documented_calls_work_as_printed(any_service: AnyService, client: AppIdClient) -> None:
    assert client.health_check() is True
    assert client.init_product("stt_billing", {"appid1": "vid1", "appid2": "vid2"}) is True
    appid, vid, start_time, product_name = client.acquire_appid("stt_billing")
    assert (appid, vid, product_name) == ("appid1", "vid1", "stt_billing")
    assert start_time == any_service.grants[0].starttime
    status = client.get_status("stt_billing")
    assert (status["total"], status["available"], status["in_use"]) == (2, 1, 1)
    assert client.release_appid(appid, "stt_billing") is True
    assert any_service.in_use() == []


def test_what_is_acquired_is_a_named_tuple(any_service: AnyService, client: AppIdClient) -> None:
    any_service.init("p", {"a": 7})
    got = client.acquire_appid("p")
    assert isinstance(got, Acquisition)
    assert got == (got.appid, got.vid, got.start_time, got.product_name)
    assert got.vid == 7


def test_a_status_of_all_products_needs_no_name(service: AnyService, client: AppIdClient) -> None:
    service.init("q", {"b": 1, "c": 1})
    assert client.get_status()["total"] == 3
    assert client.get_status("q")["total"] == 2


def test_the_environment_configures_a_client_without_arguments(
    service: AnyService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPID_MANAGER_URL", service.url + "/")
    monkeypatch.setenv("APPID_MANAGER_TIMEOUT", "12.5")
    monkeypatch.setenv("APPID_MANAGER_TOKEN", service.auth_token or "")
    with AppIdClient() as client:
        assert (client.base_url, client.timeout) == (service.url, 12.5)
        assert client.acquire_appid("p").appid == "a"


def test_names_of_any_language_and_with_signs_of_urls_come_through(client: AppIdClient) -> None:
    product, appid = "kärnten & söhne/?#%20+計費", "应用 1+1=2&x"
    client.init_product(product, {appid: 1})
    assert client.acquire_appid(product).appid == appid
    assert client.get_status(product)["total"] == 1
    assert client.release_appid(appid, product)


def test_health_is_false_where_nobody_answers_and_never_raises(
    any_service: AnyService, client: AppIdClient
) -> None:
    with any_service.refusing():
        assert client.health_check() is False
    for fault in (Fault.HTML, Fault.INTERNAL_ERROR, Fault.REDIRECT, Fault.WRONG_SHAPE):
        any_service.faults.queue("health", fault)
        assert client.health_check() is False
    assert client.health_check() is True


def test_a_session_factory_that_fails_makes_health_false(any_service: AnyService) -> None:
    def broken() -> Any:
        raise ZeroDivisionError

    with AppIdClient(any_service.url, session_factory=broken) as client:
        assert client.health_check() is False


def test_init_replaces_what_was_there(client: AppIdClient) -> None:
    client.init_product("p", {"a": 1})
    client.acquire_appid("p")
    client.init_product("p", {"b": 2})
    assert client.acquire_appid("p").appid == "b"


@pytest.mark.parametrize("known", [True, False], ids=["known service", "first call"])
def test_an_init_that_ends_live_leases_says_how_many(
    any_service: AnyService, client: AppIdClient, caplog: pytest.LogCaptureFixture, known: bool
) -> None:
    client.init_product("p", {"a": 1, "b": 2, "c": 3})
    client.init_product("q", {"d": 4})
    client.acquire_appid("q")
    assert "live" not in caplog.text, "nothing was in use"
    for _ in range(2):
        client.acquire_appid("p")
    client.release_appid(client.acquire_appid("p").appid, "p")
    with turned_client(any_service) as other:
        if known:
            other.health_check()
        assert other.init_product("p", {"a": 1}) is True
    (warning,) = [one for one in caplog.records if one.name == "appid_manager_client"]
    assert warning.levelname == "WARNING"
    assert "product p" in warning.getMessage() and "2 live leases" in warning.getMessage()


def test_an_init_that_keeps_state_ends_nothing_where_the_service_can(
    any_service: AnyService, client: AppIdClient, caplog: pytest.LogCaptureFixture
) -> None:
    client.init_product("p", {"a": 1}, keep_state=True)
    client.acquire_appid("p")
    with turned_client(any_service) as other:
        other.init_product("p", {"a": 1}, keep_state=True)
    if any_service.is_legacy:
        assert "1 live lease: " in caplog.text and "can't keep" in caplog.text
    else:
        assert "live lease" not in caplog.text
        assert any_service.in_use("p") == ["a"]


def test_an_init_is_done_even_if_the_look_before_it_failed(
    any_service: AnyService, client: AppIdClient
) -> None:
    any_service.faults.queue("status", Fault.INTERNAL_ERROR)
    assert client.init_product("p", {"a": 1}) is True
    assert client.get_status("p")["total"] == 1


def test_a_status_of_an_unknown_product_is_an_error_where_the_service_knows(
    service: AnyService, client: AppIdClient
) -> None:
    if service.is_legacy:
        assert client.get_status("typo")["total"] == 0
    else:
        with pytest.raises(ProductNotFound) as caught:
            client.get_status("typo")
        assert caught.value.product_name == "typo"
        assert "init_product" in str(caught.value)
    assert client.get_status()["total"] == 1


def test_a_status_of_no_products_at_all_is_no_error(client: AppIdClient) -> None:
    assert client.get_status()["total"] == 0


# Releasing


def test_a_second_release_is_false(service: AnyService, client: AppIdClient) -> None:
    client.acquire_appid("p")
    assert client.release_appid("a", "p") is True
    assert client.release_appid("a", "p") is False


def test_a_repeated_release_takes_away_nothing_from_who_has_it_by_then(
    service: AnyService,
) -> None:
    with turned_client(service) as other:

        def somebody_takes_it(seconds: float) -> None:
            service.advance(1)
            if not service.in_use("p"):
                other.acquire_appid("p", force=True)

        system = TurnedSystem(followers=(somebody_takes_it,))
        with client_of(service, system=system) as client:
            client.acquire_appid("p")
            service.faults.queue("release", Fault.LOSE_ANSWER)
            assert client.release_appid("a", "p") is True, "the first try did it"
        assert len(service.grants) == 2
        assert service.in_use("p") == ["a"], "it is somebody else's"


def test_a_never_acquired_appid_is_refused_and_stays_usable(
    service: AnyService, client: AppIdClient
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        client.release_appid("a", "p")
    assert caught.value.code == "not_leased"
    if service.is_legacy:
        assert "release" not in paths(service), "there it would be unusable for ever"
    assert client.acquire_appid("p").appid == "a"


def test_what_an_init_of_this_client_forgot_is_not_released_blindly(
    service: AnyService, client: AppIdClient
) -> None:
    client.acquire_appid("p")
    client.init_product("p", {"a": 1})
    with pytest.raises(InvalidRequest):
        client.release_appid("a", "p")
    assert client.acquire_appid("p").appid == "a"


def test_a_lease_over_which_its_product_was_initialized_is_not_released_blindly(
    service: AnyService, client: AppIdClient
) -> None:
    with client.lease("p") as lease:
        client.init_product("p", {"a": 1})
    assert lease.lost
    assert client.acquire_appid("p").appid == "a"


@pytest.mark.parametrize(
    ("fault", "times"),
    [
        (Fault.LOSE_ANSWER, 1),
        (Fault.RESET_HALF_WAY, 1),
        (Fault.TRUNCATE, 1),
        (Fault.UNAVAILABLE, 3),
    ],
)
def test_a_release_that_got_no_answer_is_tried_again_and_true(
    service: AnyService, client: AppIdClient, fault: Fault, times: int
) -> None:
    client.acquire_appid("p")
    service.faults.queue("release", fault, times)
    assert client.release_appid("a", "p") is True
    assert service.in_use() == []


def test_what_another_client_released_is_false(service: AnyService, client: AppIdClient) -> None:
    client.acquire_appid("p")
    with turned_client(service) as other:
        assert other.release_appid("a", "p") is True
    assert service.in_use() == []
    assert client.release_appid("a", "p") is False


def test_what_somebody_else_released_before_any_try_arrived_is_false(
    service: AnyService,
) -> None:
    def somebody_else_releases(seconds: float) -> None:
        with client_of(service) as other:
            assert other.release_appid("a", "p") is True

    system = TurnedSystem(followers=(somebody_else_releases,))
    with turned_client(service, system=system) as client:
        client.acquire_appid("p")
        service.faults.queue("release", Fault.TOO_MANY_REQUESTS)
        assert client.release_appid("a", "p") is False


@pytest.mark.parametrize("failures", [0, 1])
def test_an_unknown_appid_and_a_wrong_product_are_told_apart_however_often_they_were_sent(
    service: AnyService, client: AppIdClient, failures: int
) -> None:
    service.init("q", {"b": 1})
    client.acquire_appid("p")
    for appid, product, error in (("nothing", "p", AppIdNotFound), ("a", "q", ProductMismatch)):
        service.faults.queue("release", Fault.INTERNAL_ERROR, times=failures)
        with pytest.raises(error) as caught:
            client.release_appid(appid, product)
        service.faults.clear()
        assert (caught.value.appid, caught.value.product_name) == (appid, product)
    assert service.in_use() == ["a"]


def test_a_release_is_given_up_after_four_tries_and_says_so(
    service: AnyService, client: AppIdClient
) -> None:
    client.acquire_appid("p")
    service.faults.queue("release", Fault.UNAVAILABLE, times=9)
    with pytest.raises(ServiceUnavailable, match="gave up after 4 tries"):
        client.release_appid("a", "p")
    service.faults.clear()
    assert client.release_appid("a", "p") is True


# Lost answers


@pytest.mark.parametrize("fault", [Fault.LOSE_ANSWER, Fault.RESET_HALF_WAY, Fault.TRUNCATE])
def test_a_lost_answer_to_an_acquire_costs_no_second_appid_on_ours(
    any_service: AnyService, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    any_service.init("p", {"a": 1, "b": 1})
    any_service.faults.queue("acquire", fault)
    with turned_client(any_service, system=SystemTime()) as client:
        got = client.acquire_appid("p")
    ids = {call.body["requestId"] for call in any_service.calls_of("acquire")}
    assert len(ids) == 1, "every try has the same id"
    if any_service.is_legacy:
        assert any_service.in_use() == ["a", "b"]
        wait_until(lambda: "candidates: a)" in caplog.text)
    else:
        assert any_service.in_use() == [got.appid]


def test_an_acquire_that_ends_with_a_lost_answer_is_given_up_and_nothing_is_released_blindly(
    service: AnyService, caplog: pytest.LogCaptureFixture
) -> None:
    service.faults.queue("acquire", Fault.LOSE_ANSWER)
    with turned_client(service, system=SystemTime()) as client:
        with pytest.raises(ServiceUnavailable):
            client.acquire_appid("p", max_retries=0)
        if service.is_legacy:
            wait_until(lambda: "candidates: a)" in caplog.text)
        else:
            wait_until(lambda: not service.in_use())
    assert [call.body.get("appid") for call in service.calls_of("release")] == [None]


def test_a_grant_that_ended_before_its_answer_came_through_is_asked_for_anew() -> None:
    with OurService() as service:
        service.init("p", {"a": 1, "b": 2})
        service.faults.queue("acquire", Fault.LOSE_ANSWER)
        with turned_client(service) as other:

            def meanwhile(seconds: float) -> None:
                if service.in_use() == ["a"] and len(service.calls_of("acquire")) == 1:
                    other.release_appid("a", "p")

            with turned_client(service, system=TurnedSystem(followers=(meanwhile,))) as client:
                assert client.acquire_appid("p").appid == "b"
        first, again, anew = (call.body["requestId"] for call in service.calls_of("acquire"))
        assert first == again != anew
        assert service.in_use() == ["b"]


def test_an_init_that_may_have_been_received_is_not_tried_again(
    any_service: AnyService, client: AppIdClient
) -> None:
    any_service.faults.queue("init", Fault.LOSE_ANSWER)
    with pytest.raises(ServiceUnavailable) as caught:
        client.init_product("p", {"a": 1})
    assert caught.value.maybe_received
    assert len(any_service.calls_of("init")) == 1


def test_an_init_that_was_not_received_is_tried_again(
    any_service: AnyService, client: AppIdClient
) -> None:
    any_service.faults.queue("init", Fault.TOO_MANY_REQUESTS, times=2)
    assert client.init_product("p", {"a": 1}) is True
    assert len(any_service.calls_of("init")) == 3


def test_connection_errors_back_off_and_are_tried_again(service: AnyService) -> None:
    system = TurnedSystem(jitter=1.0)
    service.faults.queue("acquire", Fault.CLOSE_UNREAD, times=5)
    with turned_client(service, system=system) as client:
        assert client.acquire_appid("p").appid == "a"
        assert system.pauses[:5] == [0.5, 1.0, 2.0, 4.0, 8.0]


# What no second try can mend


def test_an_unknown_product_fails_at_once(any_service: AnyService, client: AppIdClient) -> None:
    any_service.init("stt_billing", {"a": 1})
    with pytest.raises(ProductNotFound, match="stt_biling") as caught:
        client.acquire_appid("stt_biling")
    assert caught.value.code == "product_not_found"
    assert len(any_service.calls_of("acquire")) == 1


def test_a_typo_after_another_product_was_waited_for_fails_at_once_too(
    service: AnyService, client: AppIdClient
) -> None:
    client.acquire_appid("p")
    with pytest.raises(NoAppIdAvailable):
        client.acquire_appid("p", max_retries=0)
    with pytest.raises(ProductNotFound):
        client.acquire_appid("q")


@pytest.mark.parametrize("token", ["wrong", None])
def test_a_wrong_token_is_never_tried_again(service: AnyService, token: str | None) -> None:
    with turned_client(service, auth_token=token) as client:
        for call in (
            lambda: client.acquire_appid("p"),
            lambda: client.release_appid("a", "p"),
            lambda: client.init_product("p", {"a": 1}),
            lambda: client.get_status(),
            lambda: client.lease("p").acquire(),
        ):
            before = len(service.calls)
            with pytest.raises(AuthenticationError) as caught:
                call()
            assert caught.value.status == 401
            assert len(service.calls) == before + 1
        assert client.health_check() is True, "health needs no token"


# Bad arguments

BAD: list[tuple[str, type[Exception], Any]] = [
    ("product_name", ValueError, lambda c: c.acquire_appid("")),
    ("product_name", ValueError, lambda c: c.acquire_appid("  \t")),
    ("product_name", TypeError, lambda c: c.acquire_appid(None)),
    ("product_name", TypeError, lambda c: c.acquire_appid(b"p")),
    ("product_name", ValueError, lambda c: c.acquire_appid("\ud800")),
    ("max_retries", ValueError, lambda c: c.acquire_appid("p", -1)),
    ("max_retries", TypeError, lambda c: c.acquire_appid("p", "60")),
    ("retry_interval", ValueError, lambda c: c.acquire_appid("p", 1, float("nan"))),
    ("retry_interval", TypeError, lambda c: c.acquire_appid("p", 1, None)),
    ("timeout", ValueError, lambda c: c.acquire_appid("p", timeout=-1)),
    ("force", TypeError, lambda c: c.acquire_appid("p", force="yes")),
    ("appid", ValueError, lambda c: c.release_appid("", "p")),
    ("appid", TypeError, lambda c: c.release_appid(7, "p")),
    ("product_name", ValueError, lambda c: c.release_appid("a", "")),
    ("product_name", ValueError, lambda c: c.init_product("", {"a": 1})),
    ("appids", ValueError, lambda c: c.init_product("p", {})),
    ("appids", ValueError, lambda c: c.init_product("p", {"a": "half a \ud800"})),
    ("appids", ValueError, lambda c: c.init_product("p", {"half a \ud800": 1})),
    ("appids", TypeError, lambda c: c.init_product("p", ["a"])),
    ("appids", TypeError, lambda c: c.init_product("p", None)),
    ("appids", TypeError, lambda c: c.init_product("p", {1: 1})),
    ("appids", ValueError, lambda c: c.init_product("p", {"": 1})),
    ("appids", TypeError, lambda c: c.init_product("p", {"a": None})),
    ("appids", TypeError, lambda c: c.init_product("p", {"a": True})),
    ("appids", TypeError, lambda c: c.init_product("p", {"a": 1.5})),
    ("product_name", ValueError, lambda c: c.get_status("")),
    ("product_name", TypeError, lambda c: c.get_status(5)),
    ("product_name", ValueError, lambda c: c.lease("")),
    ("min_remaining", ValueError, lambda c: c.lease("p", min_remaining=-1)),
    ("min_remaining", ValueError, lambda c: c.lease("p", min_remaining=3600)),
    ("ttl", ValueError, lambda c: c.lease("p", ttl=0.5)),
    ("ttl", ValueError, lambda c: c.lease("p", ttl=3601)),
    ("ttl", TypeError, lambda c: c.lease("p", ttl="60")),
    ("holder", ValueError, lambda c: c.lease("p", holder="x" * 201)),
    ("holder", ValueError, lambda c: c.lease("p", holder=" ")),
    ("holder", TypeError, lambda c: c.lease("p", holder=5)),
    ("on_lost", TypeError, lambda c: c.lease("p", on_lost="call me")),
    ("timeout", ValueError, lambda c: c.close(-1)),
]


@pytest.mark.parametrize(
    ("name", "kind", "call"), BAD, ids=[f"{n}{i}" for i, (n, *_) in enumerate(BAD)]
)
def test_a_bad_argument_is_named_before_anything_is_sent(
    name: str, kind: type[Exception], call: Any, field_service: FieldService
) -> None:
    with turned_client(field_service) as client, pytest.raises(kind, match=name):
        call(client)
    assert field_service.calls == []


def test_a_vid_that_is_no_number_says_why_services_in_the_field_fail_on_it() -> None:
    with FieldService() as service, turned_client(service) as client:
        with pytest.raises(ServiceUnavailable, match="only vids that are numbers"):
            client.init_product("p", {"a": "vid1"})


# The end of a client


def test_closing_wakes_those_who_wait(service: AnyService) -> None:
    client = client_of(service)
    client.acquire_appid("p")
    with ThreadPoolExecutor(1) as thread:
        with service.hold("acquire", times=1) as gate:
            waiting = thread.submit(client.acquire_appid, "p")
            gate.wait_reached()
        client.close()
        with pytest.raises(ClientClosed):
            waiting.result(PATIENCE)
    with pytest.raises(ClientClosed):
        client.acquire_appid("p")


def test_an_acquire_on_the_wire_when_the_client_is_closed_gives_back_what_it_got(
    service: AnyService, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    client = client_of(service)
    with ThreadPoolExecutor(1) as thread:
        with service.hold("acquire", "after", times=1) as gate:
            waiting = thread.submit(client.lease("p").acquire)
            gate.wait_reached()
            client.close(0.1)
            assert service.in_use() == ["a"]
        with pytest.raises(ClientClosed):
            waiting.result(PATIENCE)
    wait_until(lambda: not service.in_use(), what="the AppID is given back after all")
