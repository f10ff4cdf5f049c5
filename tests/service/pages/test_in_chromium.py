"""The pages in a real browser: for everybody's eyes, without the script, and live with it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from appid_manager_client import AppIdClient
from appid_manager_client.testing import LocalService
from tests.support.chromium import running_chromium

TOKEN = "secret-of-ops"
LONG = "long " + "x" * 200
PATHS = {
    "overview": "",
    "search": "?q=a",
    "product": "product?name=stt",
    "history": "history",
    "confirm": "confirm?act=reserve&product=stt&appid=b",
    "problem": "product?name=nothing",
    "calls": "calls",
}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    file = tmp_path_factory.mktemp("page") / "tokens"
    file.write_text(f"ops admin {TOKEN}\n")
    file.chmod(0o600)
    with LocalService(tokens_file=file) as running:
        with AppIdClient(running.url, auth_token=TOKEN) as client:
            fill(running, client)
        yield running


def fill(service: LocalService, client: AppIdClient) -> None:
    client.init_product("stt", {"a": 1, "b": 2, "c": 3, LONG: 4})
    client.init_product(LONG, {"d": 1})
    client.pause_product(LONG, note="wrong figures")
    client.acquire_appid("stt", ttl=60)
    service.advance_to_next_hour()
    client.release_appid(client.acquire_appid("stt").appid, "stt")
    client.acquire_appid("stt", holder="anna@lab:7 train.py")
    client.acquire_appid("stt", holder=LONG[:200])
    client.reserve_appid("a", "stt", note="under review")
    body = {"productName": "stt", "requestId": str(uuid.uuid4()), "wait": 0}
    headers = {"X-API-Key": TOKEN}
    requests.post(f"{service.url}/api/appid/acquire", json=body, headers=headers, timeout=30)


@pytest.fixture
def client(service: LocalService) -> Iterator[AppIdClient]:
    with AppIdClient(service.url, auth_token=TOKEN) as made:
        yield made


class Watched:
    """A page that was logged in; what it complained of, and what it loaded."""

    def __init__(self, chromium: Browser, url: str, **options: object) -> None:
        self.url = url
        self.context = chromium.new_context(base_url=url, **options)  # type: ignore[arg-type]
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.loaded: set[str] = set()
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.loaded.add(request.url.split("/")[2]))

    def _note(self, message: object) -> None:
        text = str(getattr(message, "text", message))
        if getattr(message, "type", "") in ("error", "warning") and " 404 " not in text:
            self.complaints.append(text)

    def log_in(self) -> None:
        self.page.goto("login")
        self.page.get_by_label("Token").fill(TOKEN)
        self.page.get_by_role("button", name="Log in").click()
        expect(self.page.get_by_role("heading", name="Products")).to_be_visible()

    def end(self) -> None:
        self.context.close()
        assert self.complaints == []
        assert self.loaded == {self.url.split("/")[2]}


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
def test_everybody_can_read_it(
    chromium: Browser, service: LocalService, width: int, scheme: str
) -> None:
    size = {"width": width, "height": 900}
    watched = Watched(chromium, service.url, viewport=size, color_scheme=scheme)
    watched.page.goto("login")
    assert not Axe().run(watched.page).response["violations"]
    watched.log_in()
    for name, path in PATHS.items():
        watched.page.goto(path)
        found = Axe().run(watched.page).response["violations"]
        assert not found, (name, [(one["id"], one["nodes"][0]["html"]) for one in found])
        wide = watched.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{name}: the page itself can be pushed aside"
    watched.end()


def test_it_works_without_the_script(
    chromium: Browser, service: LocalService, client: AppIdClient
) -> None:
    watched = Watched(chromium, service.url, java_script_enabled=False)
    watched.log_in()
    page = watched.page
    page.get_by_role("link", name="stt", exact=True).click()
    row = page.get_by_role("row").filter(has_text="anna@lab:7")
    row.get_by_role("link", name="Release").click()
    page.get_by_label("Why").fill("its host is gone")
    page.get_by_role("button", name="Release").click()
    expect(page.get_by_role("status")).to_have_text("It was released.")
    page.get_by_role("link", name="History of this product").click()
    acts = page.get_by_role("row").filter(has_text="released by force")
    expect(acts.first).to_contain_text("ops")
    expect(acts.first).to_contain_text("its host is gone")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    watched.end()


def test_it_is_used_with_the_keyboard_alone(chromium: Browser, service: LocalService) -> None:
    watched = Watched(chromium, service.url)
    page = watched.page
    page.goto("login")
    expect(page.get_by_label("Token")).to_be_focused()
    page.keyboard.type(TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Products")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    expect(page.get_by_role("link", name="To the content")).to_be_in_viewport()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "stt":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="stt", exact=True)).to_be_visible()
    watched.end()


def test_it_shows_anew_what_has_changed(
    chromium: Browser, service: LocalService, client: AppIdClient
) -> None:
    watched = Watched(chromium, service.url)
    watched.log_in()
    page = watched.page
    page.clock.install()
    client.init_product("fresh", {"x": 1})
    page.goto("product?name=fresh")
    expect(page.get_by_text("1 free now.")).to_be_visible()
    client.acquire_appid("fresh", holder="somebody")
    page.clock.run_for(6_000)
    expect(page.get_by_role("cell", name="somebody")).to_be_visible()
    # Not while somebody is at it: what was typed would be gone.
    page.get_by_label("AppID or holder").fill("half a na")
    client.release_appid("x", "fresh")
    page.clock.run_for(20_000)
    expect(page.get_by_role("cell", name="somebody")).to_be_visible()
    expect(page.get_by_label("AppID or holder")).to_have_value("half a na")
    watched.end()


def test_it_counts_down_to_the_turn(chromium: Browser, service: LocalService) -> None:
    watched = Watched(chromium, service.url)
    watched.log_in()
    watched.page.clock.install()
    watched.page.goto("")
    left = watched.page.locator("[data-until]").first
    minutes, seconds = map(int, left.inner_text().split(":"))
    watched.page.clock.run_for(3_000)
    now = minutes * 60 + seconds
    expect(left).to_have_text(f"{(now - 3) // 60}:{(now - 3) % 60:02}")
    watched.end()


def test_an_operator_finds_what_is_asked_every_day(
    chromium: Browser, service: LocalService, tmp_path: Path
) -> None:
    """Who has AppID x, why has product y nothing free, and when will it: each on one page."""
    watched = Watched(chromium, service.url)
    watched.log_in()
    page = watched.page
    page.get_by_label("Find an AppID, a holder or a product").fill("under rev")
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_text("No AppID and no holder")).to_be_visible()
    page.get_by_label("Find an AppID, a holder or a product").fill(LONG[:30])
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_role("row").filter(has_text="in use").first).to_contain_text("stt")
    page.goto("product?name=stt")
    expect(page.get_by_text("Nothing is free:")).to_be_visible()
    expect(page.get_by_text("The next can be free at").first).to_be_visible()
    watched.end()
