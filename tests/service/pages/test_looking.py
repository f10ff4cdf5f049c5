"""What the pages show is what grants are decided by."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import pytest
import requests

from appid_manager_client import AppIdClient
from appid_manager_client.testing import LocalService

from .browsing import Browser

HOSTILE = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}",
    "&amp;&lt;",
    "right\u202eto left",
    "bell\x07 and\x1b[31m",
    "n" * 256,
    "a/b?c#d e%20+",
    "../login",
]


def test_the_counts_are_those_of_the_api(
    service: LocalService, client: AppIdClient, browser: Browser
) -> None:
    client.init_product("tts", {"d": 4})
    client.acquire_appid("stt")
    client.release_appid(client.acquire_appid("stt").appid, "stt")
    for product in client.products()["products"]:
        name = product["productName"]
        page = browser.get("product", name=name)
        shown = {
            word: int(number)
            for word, number in re.findall(r"(AppIDs|Free|Waiting) (\d+)", page.text)
        }
        assert shown["AppIDs"] == product["total"]
        assert shown["Free"] == product["available"]
        assert shown["Waiting"] == product["waiting"]
        for entry in client.get_status(name)["appids"]:
            assert entry["appid"] in page.text
    overview = browser.get("").text
    assert "stt 3 1 1 1 0 0 now" in overview and "tts 1 1 0 0 0 0 now" in overview


def test_it_says_why_nothing_is_free_and_when_something_is(
    service: LocalService, client: AppIdClient, browser: Browser
) -> None:
    client.acquire_appid("stt", holder="anna@lab:7 train.py")
    client.release_appid(client.acquire_appid("stt").appid, "stt")
    client.reserve_appid("c", "stt", note="under review")
    text = browser.get("product", name="stt").text
    assert "Nothing is free: 1 in use, 1 used this hour, 1 reserved. The next can be" in text
    assert "in use anna@lab:7 train.py" in text
    assert "reserved under review" in text
    left = (service.hour.end - service.now_ms) // 60_000
    assert re.search(rf"in ({left}|{left + 1}):\d\d", text)


def test_one_that_is_held_is_found_by_its_name_and_by_its_holder(
    client: AppIdClient, browser: Browser
) -> None:
    client.acquire_appid("stt", holder="anna@lab:7 train.py")
    for asked in ("a", "TRAIN.py", "anna@"):
        assert "a stt in use anna@lab:7 train.py" in browser.get("", q=asked).text
    assert "No AppID and no holder has “100%” in its name" in browser.get("", q="100%").text


def test_appids_are_shown_in_pages_and_by_state(client: AppIdClient, browser: Browser) -> None:
    client.init_product("many", {f"m{number:03}": number for number in range(120)})
    for _ in range(3):
        client.acquire_appid("many")
    seen: list[str] = []
    page = browser.get("product", name="many")
    while True:
        seen += re.findall(r"\bm\d{3}\b", page.text)
        if "More AppIDs" not in page.links:
            break
        page = browser.get(page.links["More AppIDs"])
    assert list(dict.fromkeys(seen)) == [f"m{number:03}" for number in range(120)]
    held = browser.get("product", name="many", state="in_use").text
    assert set(re.findall(r"\bm\d{3}\b", held)) == {"m000", "m001", "m002"}
    assert "No AppID is like that" in browser.get("product", name="many", state="reserved").text


def test_the_line_is_shown_with_the_expected_turns(
    service: LocalService, client: AppIdClient, browser: Browser
) -> None:
    day = 24 * 3_600_000
    service.clock.set_time((service.now_ms // day + 1) * day + day // 2)  # noon: no turn is far
    client.init_product("one", {"x": 1})
    client.acquire_appid("one")
    for number in range(3):
        body = {"productName": "one", "requestId": str(uuid.uuid4()), "wait": 0}
        url = f"{service.url}/api/appid/acquire"
        requests.post(url, json={**body, "holder": f"waiter {number}"}, timeout=30)
    line = browser.get("product", name="one").text.partition("The line")[2]
    hours = re.findall(r"(\d) waiter (\d) .*? ago (?:\S+ )?(\d\d):00:00", line)
    assert [place for place, _, _ in hours] == ["1", "2", "3"]
    assert [number for _, number, _ in hours] == ["0", "1", "2"]
    first = (service.hour.end // 3_600_000) % 24
    assert [int(hour) for _, _, hour in hours][:1] == [first]


def test_the_strip_tells_used_burned_and_lost_hours(
    service: LocalService, client: AppIdClient, browser: Browser
) -> None:
    client.init_product("one", {"x": 1})
    client.release_appid(client.acquire_appid("one").appid, "one")
    service.advance_to_next_hour()
    client.acquire_appid("one")
    service.advance_to_next_hour()
    client.release_appid("x", "one")
    service.advance_to_next_hour()
    client.acquire_appid("one", ttl=60)
    service.advance(120)
    page = browser.get("product", name="one")
    (words,) = [v["aria-label"] for tag, v in page.tags if tag == "svg" and "aria-label" in v]
    assert words == "2 used, 1 burned, 1 lost"


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_names_are_shown_escaped_and_harmless(
    service: LocalService, client: AppIdClient, browser: Browser, hostile: str
) -> None:
    client.init_product(hostile, {f"{hostile}"[:200]: hostile})
    client.acquire_appid(hostile, holder=hostile[:200])
    client.reserve_appid(hostile[:200], hostile, note=hostile)
    for page in (
        browser.get("", q=hostile),
        browser.get("product", name=hostile, q=hostile[:200]),
        browser.get("history", product=hostile),
        browser.get("confirm", act="release", product=hostile, appid=hostile[:200], note=hostile),
        browser.get("product", name=hostile + "x" if len(hostile) < 256 else "nothing"),
    ):
        assert not [tag for tag, _ in page.tags if tag in ("img", "b")]
        scripts = [values for tag, values in page.tags if tag == "script"]
        assert [script["src"] for script in scripts] == ["page.js"]
        assert not any(name.startswith("on") for _, values in page.tags for name in values)
        assert "style" not in {name for _, values in page.tags for name in values}
        for letter in "\u202e\x07\x1b":
            shown = re.sub(r'(value|href)="[^"]*"', "", page.answer.text)
            assert letter not in shown


def test_every_answer_has_the_headers_that_browsers_go_by(
    client: AppIdClient, browser: Browser
) -> None:
    for path in ("", "product?name=stt", "history", "login", "nothing-here?", "style.css"):
        answer = requests.get(f"{browser.url}/{path}", allow_redirects=False, timeout=30)
        if path.startswith("nothing"):
            assert answer.status_code == 404
            continue
        headers = answer.headers
        assert headers["content-security-policy"].startswith("default-src 'self';")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        stored = "max-age=300" if path == "style.css" else "no-store"
        assert headers["cache-control"] == stored


def test_nothing_is_loaded_from_elsewhere_and_links_are_relative(
    client: AppIdClient, browser: Browser
) -> None:
    for path in ("", "product?name=stt", "history", "confirm?act=pause&product=stt"):
        for _, values in browser.get(path).tags:
            for name in ("src", "href", "action"):
                value = values.get(name) or ""
                assert "//" not in value and not value.startswith("/")


@pytest.mark.parametrize(
    "path",
    [
        "product",
        "product?name=stt&after=x",
        "product?name=stt&state=broken",
        "history?before=-1",
        "history?product=" + "x" * 257,
        "product?name=a%00b",
        "confirm?act=explode&product=stt",
        "product?name=%ff%fe",
    ],
)
def test_what_a_page_cannot_use_is_a_page_that_says_so(
    client: AppIdClient, browser: Browser, path: str
) -> None:
    page = browser.get(path)
    assert page.status in (400, 404) and "Not done" in page.text


def test_the_history_has_leases_and_acts_in_their_order(
    service: LocalService, client: AppIdClient, browser: Browser
) -> None:
    client.acquire_appid("stt", holder="me")
    client.pause_product("stt", note="wrong figures", by="Ann")
    client.pause_product("stt", False, by="Bob")
    client.release_appid("a", "stt")
    text = browser.get("history", product="stt").text
    assert text.index("resumed stt – Bob") < text.index("paused stt – Ann") < text.index("AppIDs s")
    assert "lease stt a me" in text and "released" in text
    only = browser.get("history", appid="b").text
    assert "Nothing is remembered of that" in only


def test_the_history_goes_back_page_by_page_and_loses_nothing(
    service: LocalService, client: AppIdClient, browser: Browser
) -> None:
    service.clock.freeze()
    client.init_product("many", {f"m{number:03}": number for number in range(260)})
    for number in range(260):
        if number % 20 == 0:
            service.advance(1)
        client.acquire_appid("many")
    seen: list[str] = []
    page = browser.get("history", product="many")
    while True:
        seen += re.findall(r"lease many (m\d{3})", page.text)
        if "Older" not in page.links:
            break
        page = browser.get(page.links["Older"])
    assert sorted(seen) == [f"m{number:03}" for number in range(260)]


def test_times_are_those_of_the_zone_whose_hours_count(tmp_path) -> None:
    with LocalService(timezone="Asia/Kolkata") as service, AppIdClient(service.url) as client:
        client.init_product("stt", {"a": 1})
        text = Browser(service.url).get("").text
    assert "Times are those of Asia/Kolkata" in text
    assert re.search(r"The hour turns at (\S+ )?\d\d:00", text)


def test_without_its_database_the_page_says_so(
    service: LocalService, client: AppIdClient, browser: Browser, tmp_path: Path
) -> None:
    (tmp_path / "appids.db").rename(tmp_path / "elsewhere.db")
    page = browser.get("product", name="stt")
    assert page.status == 503 and "Not done" in page.text
    assert page.answer.headers["retry-after"]
