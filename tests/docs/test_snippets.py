"""Every Python snippet of the README and of docs/ runs as printed, against a service of its own.

A page's snippets share one namespace, as a reader pastes them one after the other; `client` is
there from the start. `<!-- not run: why -->` before a snippet excuses it.
"""

from __future__ import annotations

import re
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from appid_manager_client import AppIdClient, set_default_client
from appid_manager_client.runtime.tracing import use_tracer
from appid_manager_client.testing import LocalService

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
RUN_BY_TESTS_OF_THEIR_SUBJECT = {"service.md", "cli.md", "recipes.md"}
_SNIPPET = re.compile(
    r"(<!-- not run: [^>]+ -->\n)?^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE
)
_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


@dataclass(frozen=True)
class Snippet:
    """A block of Python on a page; `line` is the number of lines above it."""

    page: Path
    line: int
    text: str

    def run(self, names: dict[str, object], service: LocalService) -> None:
        """Run it as printed, but at `service` and without long sleeps."""
        text = self.text.replace("http://localhost:5000", service.url)
        text = text.replace("time.sleep(10)", "time.sleep(0.01)")
        try:
            exec(compile("\n" * self.line + text, str(self.page), "exec"), names)
        except Exception as error:
            raise AssertionError(f"{self._place(error)}: {error!r}") from error

    def _place(self, error: Exception) -> str:
        """Where it failed: FILE:LINE, and the line's text."""
        line = self.line + 1
        if isinstance(error, SyntaxError) and error.filename == str(self.page):
            line = error.lineno or line
        for frame in traceback.extract_tb(error.__traceback__):
            if frame.filename == str(self.page):
                line = frame.lineno or line
        text = self.page.read_text(encoding="utf-8").splitlines()[line - 1].strip()
        return f"{self.page.relative_to(ROOT)}:{line}: {text}"


def snippets(page: Path) -> list[Snippet]:
    text = page.read_text(encoding="utf-8")
    return [
        Snippet(page, text.count("\n", 0, match.start(2)), match.group(2))
        for match in _SNIPPET.finditer(text)
        if not match.group(1)
    ]


@contextmanager
def signal_handlers_kept() -> Iterator[None]:
    """A page may show `release_on_termination()`, which must not last beyond it."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.name not in RUN_BY_TESTS_OF_THEIR_SUBJECT and snippets(page)],
    ids=lambda page: page.name,
)
def test_the_snippets_of_a_page_run_as_printed(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        LocalService() as service,
        AppIdClient(service.url) as client,
        AppIdClient(service.url) as setup,
        signal_handlers_kept(),
    ):
        monkeypatch.setenv("APPID_MANAGER_URL", service.url)
        names: dict[str, object] = {"__name__": "snippet", "client": client}
        made: list[AppIdClient] = []
        try:
            for snippet in snippets(page):
                # No snippet waits for an AppID that an earlier one used up.
                setup.init_product("stt_billing", {f"a{number}": number for number in range(40)})
                snippet.run(names, service)
                if isinstance(names["client"], AppIdClient):
                    made.append(names["client"])
        finally:
            set_default_client(None)
            use_tracer(None)
            for other in made:
                other.close()
        entries = service.status()["appids"]
        in_use = [entry["appid"] for entry in entries if entry["status"] == "in_use"]
        assert in_use == [], f"the snippets of {page.relative_to(ROOT)} leave AppIDs in use"


def test_every_file_that_is_linked_exists() -> None:
    missing = [
        f"{page.relative_to(ROOT)}:{number}: {target}"
        for page in PAGES
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
        for target in _LINK.findall(line)
        if not (page.parent / target).exists()
    ]
    assert missing == []


@pytest.mark.parametrize(
    "heading",
    [
        "#### `__init__(base_url, timeout)`",
        "#### `acquire_appid(product_name, max_retries, retry_interval)`",
        "#### `release_appid(appid, product_name)`",
        "#### `init_product(product_name, appids)`",
        "#### `get_status(product_name)`",
        "#### `health_check()`",
        "5. Submit a pull request",
        "For issues and questions, please use the GitHub issue tracker.",
    ],
)
def test_the_readme_keeps_the_documented_reference_and_its_closing_sections(heading: str) -> None:
    assert heading in (ROOT / "README.md").read_text(encoding="utf-8")
