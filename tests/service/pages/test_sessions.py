"""Logins, sessions and roles of the page."""

from __future__ import annotations

import json
import logging
from base64 import urlsafe_b64encode

import pytest
import requests

from appid_manager_client import AppIdClient
from appid_manager_client.server.http import slowing
from appid_manager_client.server.http.pages.sessions import COOKIE, Sessions
from appid_manager_client.server.tokens import Tokens
from appid_manager_client.testing import LocalService

from .browsing import Browser

HOUR = 3600


@pytest.fixture
def client(guarded: LocalService):
    with AppIdClient(guarded.url, auth_token="secret-of-ops") as made:
        made.init_product("stt", {"a": 1})
        yield made


@pytest.fixture
def browser(guarded: LocalService, client: AppIdClient):
    made = Browser(guarded.url)
    with made.session:
        yield made


def test_without_a_session_every_page_leads_to_the_login(browser: Browser) -> None:
    for path in ("", "product?name=stt", "history", "confirm?act=pause&product=stt"):
        page = browser.get(path)
        assert page.answer.url == f"{browser.url}/login" and "Log in" in page.text
        assert "stt" not in page.text


def test_a_token_opens_a_session_and_the_cookie_does_not_hold_it(browser: Browser) -> None:
    page = browser.log_in("secret-of-ops")
    assert "stt" in page.text and "ops (admin)" in page.text
    (answer,) = page.answer.history
    cookie = answer.headers["set-cookie"]
    for part in ("HttpOnly", "SameSite=Strict", f"Max-Age={12 * HOUR}", "Path=/"):
        assert part in cookie
    assert "Secure" not in cookie and "secret" not in cookie
    assert answer.status_code == 303 and answer.headers["location"] == "./"


@pytest.mark.parametrize("token", ["", "wrong", "secret-of-op", "sécret", "x" * 5_000])
def test_a_wrong_token_is_told_without_a_hint(
    browser: Browser, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    page = browser.log_in(token)
    assert page.status == 401 and "This is no token of this service." in page.text
    assert COOKIE not in browser.session.cookies
    assert token not in caplog.text or token in ("", "wrong")


def test_logins_are_slowed_as_other_calls_are(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slowing, "_FREE", 0)
    monkeypatch.setattr(slowing, "_FIRST", 1.0)
    assert browser.log_in("wrong").answer.elapsed.total_seconds() >= 1.0
    assert browser.log_in("secret-of-ops").answer.history[0].elapsed.total_seconds() < 1.0


def test_a_logout_ends_the_session(browser: Browser) -> None:
    page = browser.log_in("secret-of-grafana")
    page = browser.submit(page.form("logout"))
    assert "Log in" in page.text and COOKIE not in browser.session.cookies
    assert "Log in" in browser.get("").text


def test_a_session_ends_after_twelve_hours(guarded: LocalService, browser: Browser) -> None:
    browser.log_in("secret-of-ops")
    guarded.advance(12 * HOUR - 60)
    assert "Products" in browser.get("").text
    guarded.advance(120)
    assert "Log in" in browser.get("").text


def test_a_session_outlives_a_restart_and_no_change_of_its_token(
    guarded: LocalService, browser: Browser, tmp_path
) -> None:
    browser.log_in("secret-of-ops")
    guarded.restart()
    assert "ops (admin)" in browser.get("").text
    file = tmp_path / "tokens"
    file.write_text("ops admin another-secret\n")
    guarded.restart()
    assert "Log in" in browser.get("").text


def test_a_page_is_open_to_who_sends_the_token_with_it(guarded: LocalService) -> None:
    for headers, status in (
        ({"Authorization": "Bearer secret-of-grafana"}, 200),
        ({"X-API-Key": "secret-of-grafana"}, 200),
        ({"Authorization": "Bearer wrong"}, 401),
    ):
        answer = requests.get(guarded.url, headers=headers, timeout=30)
        assert answer.status_code == status


@pytest.mark.parametrize("name", ["grafana", "ci"])
def test_who_may_only_look_sees_no_buttons_and_can_do_nothing(
    browser: Browser, client: AppIdClient, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    client.acquire_appid("stt")
    browser.log_in(f"secret-of-{name}")
    page = browser.get("product", name="stt")
    assert "Release" not in page.text and "Pause" not in page.text
    refused = browser.get("confirm", act="pause", product="stt")
    assert refused.status == 403 and "needs a token of the role admin" in refused.text
    csrf = page.form("logout").fields["csrf"]
    url = f"{browser.url}/act"
    data = {"act": "pause", "product": "stt", "csrf": csrf}
    assert browser.session.post(url, data=data, timeout=30).status_code == 403
    assert "paused" not in client.products()["products"][0]
    assert f"the token {name} has the role" in caplog.text


def test_the_history_names_the_token_of_who_stepped_in(
    browser: Browser, client: AppIdClient, caplog: pytest.LogCaptureFixture
) -> None:
    browser.log_in("secret-of-ops")
    form = browser.get("confirm", act="pause", product="stt").form("act")
    assert "by" not in form.fields
    with caplog.at_level(logging.INFO, "appid_manager_client.server"):
        browser.submit(form, note="figures")
    assert "paused stt – ops figures" in browser.get("history").text
    assert "product stt is paused, for ops at 127.0.0.1" in caplog.text


def test_a_form_of_another_session_is_refused(guarded: LocalService, client: AppIdClient) -> None:
    first, second = Browser(guarded.url), Browser(guarded.url)
    with first.session, second.session:
        first.log_in("secret-of-ops"), second.log_in("secret-of-ops")
        form = first.get("confirm", act="pause", product="stt").form("act")
        assert second.submit(form).status == 403
        assert first.submit(form).status == 200


@pytest.mark.parametrize(
    "cookie",
    ["", ".", "x.y", "x" * 5_000, "e30=.x", "\xff.\xfe", f"{urlsafe_b64encode(b'{}').decode()}.0"],
)
def test_a_cookie_that_is_not_ours_is_no_session(cookie: str) -> None:
    sessions = Sessions(b"key", Tokens("secret"), lambda: 0)
    assert sessions.read(cookie) is None


def test_a_cookie_that_somebody_changed_is_no_session() -> None:
    tokens = Tokens("secret")
    identity = tokens.identify(b"secret")
    assert identity is not None
    sessions = Sessions(b"key", tokens, lambda: 0)
    good = sessions.open(identity)
    assert sessions.read(good) is not None
    content, _, signature = good.partition(".")
    facts = {"name": "token", "token": "x", "until": 10**12, "id": "y"}
    forged = urlsafe_b64encode(json.dumps(facts).encode()).decode()
    for changed in (f"{forged}.{signature}", f"{content}.{signature[:-1]}", good[:-1], content):
        assert sessions.read(changed) is None
    assert Sessions(b"other key", tokens, lambda: 0).read(good) is None
