"""Stepping in from the page: confirmed, checked against what is so now, noted with a name."""

from __future__ import annotations

import pytest
import requests

from appid_manager_client import AppIdClient, LeaseLost
from appid_manager_client.testing import LocalService

from .browsing import Browser, Page


def step(browser: Browser, appid: str, words: str, **fields: str) -> Page:
    """Press a button beside an AppID, and confirm."""
    page = browser.get("product", name="stt", q=appid)
    assert words in page.links
    return browser.submit(browser.get(page.links[words]).form("act"), **fields)


def test_one_that_is_stuck_is_released(client: AppIdClient, browser: Browser) -> None:
    lease = client.lease("stt", ttl=None)
    lease.acquire()
    page = step(browser, "a", "Release", note="its host is gone", by="Ann")
    assert page.status == 200 and "It was released." in page.text
    assert client.get_status("stt")["appids"][0]["status"] == "used_in_current_hour"
    history = browser.get("history", product="stt").text
    assert "released by force stt a Ann its host is gone" in history
    lease.release()


def test_one_is_reserved_and_taken_back(client: AppIdClient, browser: Browser) -> None:
    assert "It is reserved." in step(browser, "b", "Reserve", note="under review").text
    assert client.get_status("stt")["appids"][1]["note"] == "under review"
    assert "It is back in use." in step(browser, "b", "Take back").text
    assert client.get_status("stt")["available"] == 3


def test_a_product_is_paused_and_resumed(client: AppIdClient, browser: Browser) -> None:
    for words, paused in (("Pause", True), ("Resume", False)):
        page = browser.get("product", name="stt")
        page = browser.submit(browser.get(page.links[words]).form("act"), note="figures")
        assert ("Paused since" in page.text) is paused
        assert ("paused" in client.products()["products"][0]) is paused


def test_one_that_has_another_holder_meanwhile_is_not_released(
    service: LocalService, client: AppIdClient, browser: Browser
) -> None:
    client.acquire_appid("stt")
    page = browser.get("product", name="stt", q="a")
    form = browser.get(page.links["Release"]).form("act")
    client.release_appid("a", "stt")
    client.init_product("stt", {"a": 1})
    client.acquire_appid("stt", holder="another one")
    refused = browser.submit(form, note="stuck")
    assert refused.status == 409
    assert "that lease doesn't hold AppID 'a'. It is in use, held by another one now." in (
        refused.text
    )
    assert client.get_status("stt")["appids"][0]["status"] == "in_use"


def test_one_that_is_doing_something_else_is_not_reserved(
    client: AppIdClient, browser: Browser
) -> None:
    page = browser.get("product", name="stt", q="a")
    form = browser.get(page.links["Reserve"]).form("act")
    client.acquire_appid("stt", holder="me")
    refused = browser.submit(form, note="why")
    assert refused.status == 409 and "It is in use, held by me now." in refused.text
    assert "reserved" not in client.get_status("stt")["appids"][0]


@pytest.mark.parametrize("act", ["release", "reserve"])
def test_it_has_to_be_said_why(client: AppIdClient, browser: Browser, act: str) -> None:
    client.acquire_appid("stt")
    query = {"act": act, "product": "stt", "appid": "a"}
    refused = browser.submit(browser.get("confirm", **query).form("act"), note="  ")
    assert refused.status == 400 and "note: say why" in refused.text


@pytest.mark.parametrize("csrf", ["", "x", "0" * 64, "ü"])
def test_a_form_of_another_page_changes_nothing(
    client: AppIdClient, browser: Browser, csrf: str
) -> None:
    form = browser.get("confirm", act="pause", product="stt").form("act")
    assert browser.submit(form, csrf=csrf).status == 403
    assert "paused" not in client.products()["products"][0]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
    ],
)
def test_a_form_of_another_site_changes_nothing(
    client: AppIdClient, browser: Browser, headers: dict[str, str]
) -> None:
    form = browser.get("confirm", act="pause", product="stt").form("act")
    url = f"{browser.url}/act"
    answer = requests.post(url, data=form.fields, headers=headers, timeout=30)
    assert (answer.status_code, answer.json()["error"]) == (403, "foreign_origin")
    assert "paused" not in client.products()["products"][0]


def test_a_get_changes_nothing(client: AppIdClient, browser: Browser) -> None:
    form = browser.get("confirm", act="pause", product="stt").form("act")
    answer = requests.get(f"{browser.url}/act", params=form.fields, timeout=30)
    assert answer.status_code == 405
    assert "paused" not in client.products()["products"][0]


def test_a_lease_that_is_released_from_the_page_is_lost(
    client: AppIdClient, browser: Browser
) -> None:
    with client.lease("stt", ttl=1.5) as lease:
        step(browser, "a", "Release", note="stuck")
        with pytest.raises(LeaseLost):
            while True:
                lease.check()
