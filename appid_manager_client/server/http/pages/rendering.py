"""From a template to an answer: times and names for people, and the headers that browsers go by.

Everything is escaped by the templates; what isn't printable in a name is shown as an escape, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ....text import printable
from ..answers import Header, Reply

if TYPE_CHECKING:
    from jinja2 import Environment

_HTML = b"text/html; charset=utf-8"
_HEADERS: tuple[Header, ...] = (
    (
        b"content-security-policy",
        b"default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"referrer-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
)
_NOT_STORED: Header = (b"cache-control", b"no-store")

STATIC = {
    "style.css": b"text/css; charset=utf-8",
    "page.js": b"text/javascript; charset=utf-8",
    "icon.svg": b"image/svg+xml",
}
"""The files beside the templates, and their types."""


class Renderer:
    """Renders the templates for one service.

    Args:
        zone: the time zone in which times are shown.
        clock: the time in milliseconds since the Unix epoch.
        shared: what all templates can use, besides.
    """

    def __init__(self, zone: str, clock: Callable[[], int], **shared: Any) -> None:
        self._zone: tzinfo = ZoneInfo(zone)
        self._clock = clock
        self._shared = {
            **shared,
            "time": self._time,
            "moment": _moment,
            "day": self._day,
            "age": _age,
            "zone": zone,
        }

    async def page(
        self, template: str, status: int = 200, *headers: Header, **values: Any
    ) -> Reply:
        """The answer that shows a template. It is rendered in a thread: calls are waiting."""
        shown = {**self._shared, **values, "now": self._clock()}
        text = await asyncio.to_thread(_render, template, shown)
        return Reply(text.encode(), status, (*_HEADERS, _NOT_STORED, *headers), _HTML)

    def _time(self, moment: int) -> str:
        """A time of day; with the date, if that isn't today's."""
        at, now = self._at(moment), self._at(self._clock())
        return at.strftime("%H:%M:%S" if at.date() == now.date() else "%Y-%m-%d %H:%M")

    def _day(self, moment: int) -> str:
        return self._at(moment).strftime("%Y-%m-%d %H:%M:%S")

    def _at(self, moment: int) -> datetime:
        return datetime.fromtimestamp(moment / 1000, UTC).astimezone(self._zone)


def redirect(to: str, *headers: Header) -> Reply:
    """The answer that leads to another page; `to` is relative, and encoded."""
    location = (b"location", to.encode("ascii"))
    return Reply(b"", 303, (*_HEADERS, _NOT_STORED, location, *headers), _HTML)


@cache
def static_file(name: str) -> Reply:
    """One of the files that the pages name."""
    content = (resources.files(__package__) / "static" / name).read_bytes()
    return Reply(content, 200, (*_HEADERS, (b"cache-control", b"max-age=300")), STATIC[name])


def _render(template: str, values: dict[str, Any]) -> str:
    return _environment().get_template(f"{template}.html").render(values)


@cache
def _environment() -> Environment:
    # Not before somebody looks: it takes as long to import as a start.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader(__package__ or ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["shown"] = printable
    return made


def _moment(moment: int) -> str:
    """A time as the attribute `datetime` has it."""
    return datetime.fromtimestamp(moment / 1000, UTC).isoformat(timespec="seconds")


def _age(milliseconds: int) -> str:
    """A length of time: `42 s`, `12:07` for minutes and seconds, `3 h 12 min`, `2 d 5 h`."""
    seconds = max(0, milliseconds // 1000)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60}:{seconds % 60:02}"
    if seconds < 86400:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 86400} d {seconds % 86400 // 3600} h"
