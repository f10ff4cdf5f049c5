"""`products()` and `reserve_appid()` against both kinds of service."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from appid_manager_client import (
    AppIdClient,
    AppIdNotFound,
    InvalidRequest,
    NoAppIdAvailable,
    ProductMismatch,
    ServiceUnavailable,
)
from tests.support.faults import Fault
from tests.support.field import FieldService
from tests.support.ours import OurService
from tests.support.services import AnyService, turned_client


@pytest.fixture
def client(any_service: AnyService) -> Iterator[AppIdClient]:
    with turned_client(any_service) as made:
        yield made


@pytest.fixture
def ours() -> Iterator[OurService]:
    """Our service with one AppID `a` of the product `p`."""
    with OurService() as service:
        service.init("p", {"a": 1})
        yield service


@pytest.fixture
def our_client(ours: OurService) -> Iterator[AppIdClient]:
    with turned_client(ours) as made:
        yield made


# A status in pages


def test_a_status_of_many_appids_is_fetched_in_pages_and_looks_like_one(
    ours: OurService, our_client: AppIdClient
) -> None:
    appids = {f"a{number}": number for number in range(4_500)}
    our_client.init_product("many", appids)
    whole = ours.local.status("many")
    found = our_client.get_status("many")
    assert found == whole and list(found) == list(whole)
    assert [entry["appid"] for entry in found["appids"]] == list(appids)
    queries = [call.raw.target.partition("?")[2] for call in ours.calls_of("status")][-3:]
    assert [query.count("after=") for query in queries] == [0, 1, 1]


# Products


def test_products_are_counted_on_every_service(
    any_service: AnyService, client: AppIdClient
) -> None:
    any_service.init("p", {"a": 1, "b": 2})
    any_service.init("q", {"c": 3})
    client.acquire_appid("q")
    client.release_appid(client.acquire_appid("p").appid, "p")
    found = client.products()
    end = round(any_service.hour_end() * 1000)
    assert found["products"] == [
        {
            "productName": "p",
            "total": 2,
            "available": 1,
            "in_use": 1,
            "waiting": 0,
            "next": None,
        },
        {
            "productName": "q",
            "total": 1,
            "available": 0,
            "in_use": 1,
            "waiting": 0,
            "next": end,
        },
    ]
    assert found["hourEnd"] == end
    assert found["serverTime"] == pytest.approx(any_service.now() * 1000, abs=60_000)


def test_without_products_there_are_none(client: AppIdClient) -> None:
    assert client.products()["products"] == []


def test_products_whose_appids_only_force_brings_back_have_no_next_one() -> None:
    with FieldService() as service, turned_client(service) as client:
        service.init("p", {"a": 1})
        service.model.release({"productName": "p", "appid": "a"})  # never acquired
        assert client.products()["products"][0]["next"] is None


def test_products_that_could_not_be_asked_for_are_asked_for_again(
    any_service: AnyService, client: AppIdClient
) -> None:
    any_service.init("p", {"a": 1})
    any_service.faults.queue("status" if any_service.is_legacy else "products", Fault.UNAVAILABLE)
    assert len(client.products()["products"]) == 1
    assert any_service.faults.pending == 0


# Reserving


def test_a_reserved_appid_is_not_granted_until_it_is_taken_back(
    ours: OurService, our_client: AppIdClient
) -> None:
    assert our_client.reserve_appid("a", "p", note="account under review") == "reserved"
    (entry,) = our_client.get_status("p")["appids"]
    assert (entry["status"], entry["note"]) == ("reserved", "account under review")
    with pytest.raises(NoAppIdAvailable):
        our_client.acquire_appid("p", timeout=0, force=True)
    assert our_client.reserve_appid("a", "p", reserved=False) == "available"
    assert our_client.acquire_appid("p").appid == "a"
    assert our_client.reserve_appid("a", "p") == "in_use"


def test_one_in_use_that_is_not_reserved_stays_with_its_holder(
    ours: OurService, our_client: AppIdClient
) -> None:
    our_client.acquire_appid("p")
    with pytest.raises(InvalidRequest) as caught:
        our_client.reserve_appid("a", "p", False)
    assert (caught.value.code, caught.value.status, caught.value.appid) == ("in_use", 409, "a")


def test_a_lost_answer_is_no_refusal(ours: OurService, our_client: AppIdClient) -> None:
    """The AppID was freed, and somebody has it when the call is sent again."""
    our_client.reserve_appid("a", "p")
    ours.faults.queue("reserve", Fault.LOSE_ANSWER)
    with ours.hold("reserve", "after", times=1) as gate, turned_client(ours) as other:
        heard: list[str] = []
        thread = threading.Thread(
            target=lambda: heard.append(our_client.reserve_appid("a", "p", False))
        )
        thread.start()
        gate.wait_reached()
        other.acquire_appid("p")
        gate.release()
        thread.join(20)
    assert heard == ["in_use"]
    assert len(ours.calls_of("reserve")) == 3


@pytest.mark.parametrize(
    ("appid", "product", "error"), [("typo", "p", AppIdNotFound), ("a", "typo", ProductMismatch)]
)
def test_an_unknown_appid_is_said(
    our_client: AppIdClient, appid: str, product: str, error: type[InvalidRequest]
) -> None:
    with pytest.raises(error):
        our_client.reserve_appid(appid, product)


@pytest.mark.parametrize("known", [True, False], ids=["known service", "first call"])
def test_a_field_service_is_told_apart_before_anything_is_sent(known: bool) -> None:
    with FieldService() as service, turned_client(service) as client:
        service.init("p", {"a": 1})
        if known:
            client.health_check()
        with pytest.raises(InvalidRequest, match="is a field service, which can't reserve AppIDs"):
            client.reserve_appid("a", "p")
        assert service.calls_of("reserve") == []


def test_whether_it_is_a_field_service_is_not_guessed_while_it_is_down(ours: OurService) -> None:
    with turned_client(ours) as client, ours.refusing(), pytest.raises(ServiceUnavailable):
        client.reserve_appid("a", "p")


class OlderService(OurService):
    """Ours, as it was before it had these calls."""

    def _act(self, call: Any) -> Any:
        if call.path.endswith(("/reserve", "/products")):
            return 404, {"error": "not_found", "message": "there is nothing at this path"}
        return super()._act(call)


def test_an_older_version_of_our_service_is_told_apart() -> None:
    with OlderService() as service, turned_client(service) as client:
        service.init("p", {"a": 1})
        assert client.products()["products"][0]["available"] == 1
        with pytest.raises(
            InvalidRequest, match="an older version of the service, which has no call"
        ):
            client.reserve_appid("a", "p")


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("", "p"), ValueError, "appid is required"),
        (("a", " "), ValueError, "product_name is required"),
        (("a", "p", "no"), TypeError, "reserved must be a bool"),
        (("a", "p", True, ""), ValueError, "note is required"),
        (("a", "p", True, "x" * 501), ValueError, "note must have at most 500 characters"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_sent(
    ours: OurService,
    our_client: AppIdClient,
    arguments: tuple[Any, ...],
    error: type[Exception],
    words: str,
) -> None:
    with pytest.raises(error, match=words):
        our_client.reserve_appid(*arguments)
    assert ours.calls == []
