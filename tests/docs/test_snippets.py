"""Every Python snippet of the README and of docs/ runs as printed, against a service of its own.

A page's snippets share one namespace, as a reader pastes them one after the other; `client` is there from the start.
`<!-- not run: why -->` before a snippet excuses it.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from appid_manager_client import AppIdClient, set_default_client
from appid_manager_client.runtime import signals
from appid_manager_client.testing import LocalService

ROOT = Path(__file__).resolve().parents[2]
TESTED_BESIDE_THEIR_SUBJECT = {"service.md", "cli.md"}
PAGES = [
    ROOT / "README.md",
    *sorted(p for p in (ROOT / "docs").glob("*.md") if p.name not in TESTED_BESIDE_THEIR_SUBJECT),
]
_SNIPPET = re.compile(
    r"(<!-- not run: [^>]+ -->\n)?^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Snippet:
    line: int
    text: str


def _snippets(page: Path) -> list[Snippet]:
    text = page.read_text(encoding="utf-8")
    return [
        Snippet(text.count("\n", 0, match.start(2)), match.group(2))
        for match in _SNIPPET.finditer(text)
        if not match.group(1)
    ]


@contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    """A page may show `release_on_termination()`; this process is to end as it always did."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signals._installed.clear()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_snippets_of_a_page_run_as_printed(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        LocalService() as service,
        AppIdClient(service.url) as client,
        AppIdClient(service.url) as setup,
        _signal_handlers_kept(),
    ):
        monkeypatch.setenv("APPID_MANAGER_URL", service.url)
        names: dict[str, object] = {"__name__": "snippet", "client": client}
        made: list[AppIdClient] = []
        try:
            for snippet in _snippets(page):
                # None is to wait for what the one before it used up, or left of the product.
                setup.init_product("stt_billing", {f"a{number}": number for number in range(40)})
                text = snippet.text.replace("http://localhost:5000", service.url)
                text = text.replace("time.sleep(10)", "time.sleep(0.01)")
                code = compile("\n" * snippet.line + text, str(page), "exec")
                exec(code, names)
                if isinstance(names["client"], AppIdClient):
                    made.append(names["client"])
        finally:
            set_default_client(None)
            for other in made:
                other.close()
        entries = service.status()["appids"]
        assert [entry["appid"] for entry in entries if entry["status"] == "in_use"] == []


def test_every_page_that_is_linked_is_there() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_keeps_the_seeds_reference_and_its_closing_sections() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for heading in (
        "#### `__init__(base_url, timeout)`",
        "#### `acquire_appid(product_name, max_retries, retry_interval)`",
        "#### `release_appid(appid, product_name)`",
        "#### `init_product(product_name, appids)`",
        "#### `get_status(product_name)`",
        "#### `health_check()`",
        "5. Submit a pull request",
        "For issues and questions, please use the GitHub issue tracker.",
    ):
        assert heading in text
