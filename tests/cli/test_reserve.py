"""`reserve`: AppIDs out of use and back, and what `status`, `why` and `products` show of it."""

from __future__ import annotations

import json

import pytest

from appid_manager_client.testing import LocalService
from tests.cli.command import Cli, Ran
from tests.support.field import FieldService


def test_it_says_what_the_appid_is_doing_then(cli: Cli, product: str) -> None:
    appid, other = f"{product}-1", f"{product}-2"
    assert cli("reserve", appid) == Ran(0, f"{appid} of {product} is reserved\n", "")
    assert cli("reserve", "--free", appid, product).out == f"{appid} of {product} is free\n"
    cli("acquire", product)
    ran = cli("reserve", appid, product)
    assert ran.out == f"{appid} of {product} is in use; it is reserved from its release on\n"
    ran = cli("reserve", appid, "--free")
    assert ran.out == f"{appid} of {product} is in use; it is not reserved any more\n"
    cli("acquire", product), cli("release", product, other)
    ran = cli("reserve", other, "--free")
    assert ran.out == (
        f"{other} of {product} was used in this hour; it is free when the hour turns\n"
    )


def test_as_json_it_is_one_object(cli: Cli, product: str) -> None:
    ran = cli("reserve", f"{product}-1", "--note", "under review", "--json")
    assert json.loads(ran.out) == {
        "appid": f"{product}-1",
        "productName": product,
        "reserved": True,
        "note": "under review",
        "status": "reserved",
    }


def test_status_and_why_show_the_reserved_ones_and_the_notes(
    cli: Cli, product: str, shared_service: LocalService
) -> None:
    cli("reserve", f"{product}-1", product, "--note", "under review")
    cli("acquire", product)
    cli("reserve", f"{product}-2", product)
    lines = cli("status", product).out.splitlines()
    assert lines[0] == f"{product}: 2 AppIDs, 0 free, 1 in use, 0 used this hour, 1 reserved"
    assert lines[1].split()[-1] == "RESERVED"
    assert lines[2].endswith("under review") and lines[3].endswith("when released: yes")
    lines = cli("why", product).out.splitlines()
    assert lines[0] == f"{product}: nothing is free (1 in use, 1 reserved)"
    assert lines[1] == "reserved: 'appid-manager reserve --free APPID' takes one back into use"
    assert lines[4].split()[:3] == [f"{product}-2", "in", "use"]
    assert lines[5].split()[:2] == [f"{product}-1", "reserved"]
    found = json.loads(cli("why", product, "--json").out)
    assert (found["inUse"], found["reserved"]) == (1, 1)
    assert found["availableAt"] is None, "whoever gives one back gives it to nobody"
    (row,) = [line for line in cli("products").out.splitlines() if line.startswith(product)]
    assert row.split()[1:] == ["2", "0", "2", "0", "-"]


def test_one_in_use_is_not_taken_from_its_holder(cli: Cli, product: str) -> None:
    cli("acquire", product)
    ran = cli("reserve", "--free", f"{product}-1")
    assert (ran.code, ran.out) == (6, "")
    assert "refused the request" in ran.err and "in_use" in ran.err and ran.err.count("\n") == 1


def test_an_appid_that_no_product_has_is_said(cli: Cli, product: str) -> None:
    ran = cli("reserve", "typo")
    assert (ran.code, ran.out) == (6, "")
    assert "has no AppID 'typo'" in ran.err and ran.err.count("\n") == 1


def test_a_field_service_can_not_do_that(cli: Cli) -> None:
    with FieldService(auth_token=None) as service:
        service.init("p", {"a1": 1})
        for command in (("reserve", "a1"), ("reserve", "--free", "a1", "p")):
            ran = cli(*command, url=service.url)
            assert (ran.code, ran.out) == (6, "")
            assert "is a field service, which can't reserve AppIDs" in ran.err
        assert service.calls_of("reserve") == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("", "p"), "APPID is required"),
        (("a", " "), "PRODUCT is required"),
        (("a", "--note", ""), "--note is required"),
        (("a", "--note", "x" * 501), "--note must have at most 500 characters"),
    ],
)
def test_wrong_arguments_are_refused_with_2(
    cli: Cli, arguments: tuple[str, ...], words: str
) -> None:
    ran = cli("reserve", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err and ran.err.count("\n") == 1
