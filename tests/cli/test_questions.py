"""`status`, `products`, `why`, `history` and `line`: what they say about both kinds of service."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import datetime

import pytest
import requests

from appid_manager_client import AppIdClient
from appid_manager_client.testing import LocalService
from tests.cli.command import Cli, Ran
from tests.support.field import FieldService


@pytest.fixture
def field_service() -> Iterator[FieldService]:
    """A field service ten minutes before its hour ends; no product has an AppID."""
    with FieldService(auth_token=None) as service:
        service.advance_to_next_hour(offset=-600)
        yield service


def local(epoch_ms: float, form: str = "%H:%M:%S") -> str:
    return datetime.fromtimestamp(epoch_ms / 1000).strftime(form)


# status


def test_status_takes_the_product_as_an_argument_too(cli: Cli, product: str) -> None:
    ran = cli("status", product)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == cli("status", "--product", product).out
    assert ran.out == cli("status", product, "--product", product).out


# products


def test_products_shows_how_many_appids_each_has(cli: Cli, product: str) -> None:
    cli("acquire", product)
    lines = [line.split() for line in cli("products").out.splitlines()]
    assert lines[0] == ["PRODUCT", "TOTAL", "FREE", "TAKEN", "WAITING", "NEXT"]
    assert [product, "2", "1", "1", "0", "now"] in lines


@pytest.mark.parametrize("kind", ["ours", "field"])
def test_products_as_json_has_the_names_of_the_wire(
    cli: Cli, product: str, shared_service: LocalService, field_service: FieldService, kind: str
) -> None:
    field_service.init(product, {"a1": 1, "a2": 2})
    url = field_service.url if kind == "field" else shared_service.url
    with AppIdClient(url, auth_token=shared_service.auth_token) as client:
        client.acquire_appid(product), client.acquire_appid(product)
        client.release_appid("a1" if kind == "field" else f"{product}-1", product)
    body = json.loads(cli("products", "--json", url=url).out)
    (found,) = [one for one in body["products"] if one["productName"] == product]
    end = field_service.hour_end() * 1000 if kind == "field" else shared_service.hour.end
    assert found == {
        "productName": product,
        "total": 2,
        "available": 0,
        "in_use": 2,
        "waiting": 0,
        "next": end,
    }
    assert body["hourEnd"] == end


def test_without_a_product_that_is_said(cli: Cli, field_service: FieldService) -> None:
    ran = cli("products", url=field_service.url)
    assert ran == Ran(0, "no products: none was initialized yet\n", "")


# why


def test_why_says_who_has_what_since_when_and_when_the_next_is_free(
    cli: Cli, product: str, shared_service: LocalService
) -> None:
    cli("acquire", product, "--holder", "ada@host:1 nightly", "--ttl", "600")
    appid = cli("acquire", product).out.split("\t")[0]
    cli("release", product, appid)
    now, end = shared_service.now_ms, shared_service.hour.end
    lines = cli("why", product).out.splitlines()
    assert lines[0] == f"{product}: nothing is free (1 in use, 1 used in this hour)"
    assert lines[1].startswith(f"next: 1 when the hour turns, at {local(end)}, in ")
    assert lines[3].split() == ["APPID", "STATE", "SINCE", "FOR", "HOLDER", "LEASE", "ENDS"]
    since = local(now, "%Y-%m-%d %H:%M:%S")
    assert f"{product}-1  in use          {since}  0:0" in lines[4]
    assert "ada@host:1 nightly" in lines[4] and lines[4].endswith("unless extended")
    assert f"{product}-2  used this hour  {since}" in lines[5]


def test_why_says_that_something_is_free(cli: Cli, product: str) -> None:
    assert cli("why", product).out == f"{product}: 2 of 2 AppIDs free\n"


def test_why_says_what_to_do_about_a_clock_that_was_ahead(cli: Cli) -> None:
    with LocalService() as service, AppIdClient(service.url) as client:
        service.clock.freeze()
        client.init_product("p", {"a1": 1})
        service.advance(3 * 3600)
        client.release_appid(client.acquire_appid("p").appid, "p")
        end = service.hour.end
        service.advance(-3 * 3600)
        out = cli("why", "p", url=service.url).out
        found = json.loads(cli("why", "p", "--json", url=service.url).out)
        assert cli("reserve", "--free", "a1", url=service.url).code == 0
        assert cli("why", "p", url=service.url).out == "p: 1 of 1 AppIDs free\n"
    lines = out.splitlines()
    assert lines[0] == "p: nothing is free (1 used in a later hour)"
    assert lines[1].startswith(f"next: at {local(end, '%Y-%m-%d %H:%M:%S')}, in ")
    assert "'appid-manager reserve --free APPID' takes one back into use" in lines[2]
    assert (found["usedInLaterHour"], found["availableAt"]) == (1, end)


def test_why_as_json_is_one_object(cli: Cli, product: str, shared_service: LocalService) -> None:
    cli("acquire", product), cli("acquire", product)
    found = json.loads(cli("why", product, "--json").out)
    assert (found["free"], found["inUse"], found["usedThisHour"]) == (0, 2, 0)
    assert found["availableAt"] == found["hourEnd"] == shared_service.hour.end
    assert [entry["appid"] for entry in found["appids"]] == [f"{product}-1", f"{product}-2"]


def test_why_says_what_a_field_service_tells(cli: Cli, field_service: FieldService) -> None:
    field_service.init("p", {"a1": 1, "a2": 2})
    field_service.model.acquire({"productName": "p"})
    field_service.model.release({"productName": "p", "appid": "a2"})  # never acquired
    ran = cli("why", "p", url=field_service.url)
    at = local(field_service.hour_end() * 1000)
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == "p: nothing is free (1 in use, 1 unusable)"
    assert lines[1].startswith(
        f"next: what is given back by then is free when the hour turns, at {at}, in "
    )
    assert lines[2].startswith("unusable: released without having been acquired; ")
    assert "HOLDER" not in ran.out
    assert lines[-1] == "this is a field service: it doesn't know who has an AppID"


def test_why_knows_no_time_where_nothing_will_be_free(
    cli: Cli, field_service: FieldService
) -> None:
    field_service.init("p", {"a1": 1})
    field_service.model.release({"productName": "p", "appid": "a1"})  # never acquired
    ran = cli("why", "p", "--json", url=field_service.url)
    assert json.loads(ran.out)["availableAt"] is None
    assert "next:" not in cli("why", "p", url=field_service.url).out


@pytest.mark.parametrize("kind", ["ours", "field"])
def test_why_of_an_unknown_product_is_refused_with_6(
    cli: Cli, field_service: FieldService, kind: str
) -> None:
    ran = cli("why", "my_base_url", url=field_service.url if kind == "field" else None)
    assert (ran.code, ran.out) == (6, "")
    assert "knows no product 'my_base_url'" in ran.err


# history


def test_history_shows_who_had_what_and_how_it_ended(cli: Cli, product: str) -> None:
    appid = cli("acquire", product, "--holder", "ada").out.split("\t")[0]
    cli("release", product, appid)
    cli("acquire", product, "--holder", "bob")
    leases, acts = cli("history", product).out.split("\n\n")
    assert acts.split()[:6] == ["TIME", "WHAT", "PRODUCT", "APPID", "WHO", "NOTE"]
    assert acts.count("\n") == 2 and f"init  {product}" in acts
    lines = [line.split() for line in leases.splitlines()]
    assert lines[0] == ["APPID", "PRODUCT", "ACQUIRED", "RELEASED", "ENDED", "HOLDER"]
    assert [(line[0], line[-1]) for line in lines[1:]] == [
        (f"{product}-2", "bob"),
        (f"{product}-1", "ada"),
    ]
    assert lines[1][-4:-1] == ["-", "in", "use"]
    assert lines[2][-2] == "released"


def test_history_can_be_narrowed(cli: Cli, product: str, shared_service: LocalService) -> None:
    cli("acquire", product), cli("acquire", product)
    ran = cli("history", product, "--appid", f"{product}-1", "--json")
    assert json.loads(ran.out)["leases"] == shared_service.history(product, f"{product}-1")
    assert len(json.loads(cli("history", "--limit", "1", "--json").out)["leases"]) == 1
    assert cli("history", product, "--appid", "other").out == "no leases\n"


def test_a_field_service_has_no_history(cli: Cli, field_service: FieldService) -> None:
    ran = cli("history", url=field_service.url)
    assert ran == Ran(
        6, "", f"appid-manager: {field_service.url} is a field service: it keeps no history\n"
    )


# line


def test_line_shows_who_waits_and_who_is_due(
    cli: Cli, product: str, shared_service: LocalService
) -> None:
    with AppIdClient(shared_service.url, auth_token=shared_service.auth_token) as client:
        client.acquire_appid(product), client.acquire_appid(product)
    assert cli("line", product).out == f"{product}: nobody waits in line\n"
    for holder in ("ada", "bob", "eve"):
        body = {"productName": product, "requestId": str(uuid.uuid4()), "wait": 0, "holder": holder}
        answer = requests.post(
            f"{shared_service.url}/api/appid/acquire",
            json=body,
            headers={"X-API-Key": shared_service.auth_token or ""},
            timeout=10,
        )
        assert answer.status_code == 202
    first, headings, *rows = [line.split() for line in cli("line", product).out.splitlines()]
    assert first[:3] == [f"{product}:", "3", "wait,"]
    assert headings == ["PLACE", "SINCE", "HEARD", "HOLDER", "NOTE"]
    assert [(row[0], *row[-2:]) for row in rows] == [
        ("1", "ada", "due"),
        ("2", "bob", "due"),
        ("3", "eve", "-"),
    ]
    shown = json.loads(cli("line", product, "--json", "--limit", "1").out)
    assert [waiter["holder"] for waiter in shown["line"]] == ["ada"]


def test_a_field_service_has_no_line(cli: Cli, field_service: FieldService) -> None:
    ran = cli("line", "p", url=field_service.url)
    assert ran == Ran(
        6, "", f"appid-manager: {field_service.url} is a field service: it has no line\n"
    )
