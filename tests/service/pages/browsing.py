"""Pages as a browser without a script sees them: what they show, and their forms."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

import requests


@dataclass
class Form:
    """A form, with the values of its fields."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


class Page(HTMLParser):
    """An answer, read as HTML."""

    def __init__(self, answer: requests.Response) -> None:
        super().__init__()
        self.answer = answer
        self.status = answer.status_code
        self.forms: list[Form] = []
        self.links: dict[str, str] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._pieces: list[str] = []
        self._link: str | None = None
        self._skips = 0
        self.feed(answer.text)

    @property
    def text(self) -> str:
        return " ".join("".join(self._pieces).split())

    def form(self, action: str) -> Form:
        (found,) = [one for one in self.forms if one.action == action]
        return found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append((tag, values))
        if tag == "form":
            self.forms.append(Form(values["action"] or "", values["method"] or "get"))
        elif tag == "input" and self.forms:
            self.forms[-1].fields[str(values["name"])] = values.get("value") or ""
        elif tag == "a":
            self._link = values.get("href")
            self._pieces.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._link = None
        if tag in ("td", "th", "dd", "dt", "p", "li", "h1", "h2", "a", "option"):
            self._pieces.append(" ")

    def handle_data(self, data: str) -> None:
        self._pieces.append(data)
        if self._link is not None:
            self.links.setdefault(" ".join(data.split()), self._link)


class Browser:
    """Goes from page to page of one service, and keeps its cookies."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False

    def get(self, path: str, **query: str) -> Page:
        return self._page(self.session.get(f"{self.url}/{path}", params=query, timeout=30))

    def submit(self, form: Form, **fields: str) -> Page:
        """Fill in a form and send it, as a browser does."""
        values = {**form.fields, **fields}
        headers = {"Origin": self.url, "Sec-Fetch-Site": "same-origin"}
        url = f"{self.url}/{form.action}"
        return self._page(self.session.post(url, data=values, headers=headers, timeout=30))

    def log_in(self, token: str) -> Page:
        return self.submit(self.get("login").form("session"), token=token)

    def _page(self, answer: requests.Response) -> Page:
        assert answer.headers["content-type"].startswith("text/html"), answer.text[:200]
        return Page(answer)
