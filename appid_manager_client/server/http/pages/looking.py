"""What the pages show: products, one product with its AppIDs and its line, and the history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...hours import Hours
from ...operations import Refused
from ...records import (
    Act,
    AppIdEntry,
    History,
    HistoryQuery,
    LeaseRecord,
    Line,
    LineQuery,
    ProductCounts,
    Status,
    StatusQuery,
    Use,
)
from ...store.store import Store
from ..answers import Reply
from ..call import Call
from ..requests import RequestRefused
from ..work import Work
from .forms import OfHistory, OfProduct, Search, read_form
from .rendering import Renderer
from .sessions import Session
from .strip import HEIGHT, WIDTH, Strip, draw, last_hours, legend

_PAGE = 50
_MOST_PRODUCTS = 200
_EVENTS = 100
_MOST_EVENTS = 500
"""So many are read: all that share the moment of the last one are shown with it."""

_FARTHEST_TURN = 48


class Looking:
    """The pages that change nothing.

    Args:
        work: reads the store.
        renderer: makes the pages.
    """

    def __init__(self, work: Work, renderer: Renderer) -> None:
        self._work = work
        self._store = work.store
        self._renderer = renderer

    async def overview(self, call: Call, session: Session) -> Reply:
        """All products; with a search, the AppIDs that were found, too."""
        query = read_form(Search, call.query)
        products, found = await self._work.read(lambda: _search(self._store, query.q))
        return await self._renderer.page(
            "overview",
            session=session,
            query=query,
            products=products[:_MOST_PRODUCTS],
            left_out=max(0, len(products) - _MOST_PRODUCTS),
            found=found,
            hour_end=self._hour_end(),
        )

    async def product(self, call: Call, session: Session) -> Reply:
        """One product: what it is doing, its AppIDs, and who waits."""
        query = read_form(OfProduct, call.query)
        seen = await self._work.read(lambda: _look_at(self._store, query))
        if seen is None:
            message = f"no product {query.name!r} was ever initialized here"
            raise RequestRefused(Refused("product_not_found", message))
        return await self._renderer.page(
            "product",
            session=session,
            query=query,
            seen=seen,
            counts=seen.counts,
            strip_size=(WIDTH, HEIGHT),
            legend=legend(),
            hour_end=self._hour_end(),
        )

    async def history(self, call: Call, session: Session) -> Reply:
        """Who had which AppID when, and what operators did."""
        query = read_form(OfHistory, call.query)
        asked = HistoryQuery(
            query.product or None,
            query.appid or None,
            limit=_MOST_EVENTS,
            before=query.before,
        )
        found = await self._work.read(lambda: self._store.history(asked))
        events, following = _in_order(found)
        return await self._renderer.page(
            "history",
            session=session,
            query=query,
            events=events,
            following=following,
            hour_end=self._hour_end(),
        )

    async def find(self, product: str, appid: str) -> AppIdEntry | None:
        """What one AppID is doing now."""
        query = StatusQuery(product, limit=_PAGE, after=0, text=appid)
        status = await self._work.read(lambda: self._store.status(query))
        return next((one for one in status.appids or () if one.appid == appid), None)

    def _hour_end(self) -> int:
        return self._store.hours.at(self._store.clock()).end


@dataclass(frozen=True, slots=True)
class Place:
    """A place in line; `turn` is when it is its turn, if nobody gives up and nothing is given back.

    `since` and `heard` are how many milliseconds ago that was.
    """

    place: int
    holder: str | None
    since: int
    heard: int
    forced: bool
    turn: int | None


@dataclass(frozen=True, slots=True)
class Seen:
    """What the page of a product shows."""

    counts: ProductCounts
    used: int
    status: Status
    strips: dict[str, Strip]
    line: list[Place]
    waiting: int


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the history: a lease, or an act."""

    at: int
    lease: LeaseRecord | None
    act: Act | None


def used_this_hour(counts: ProductCounts) -> int:
    """How many AppIDs nobody has that were used in this hour."""
    return counts.total - counts.available - counts.in_use - counts.reserved


def _search(store: Store, text: str) -> tuple[list[ProductCounts], Sequence[AppIdEntry] | None]:
    products = store.products().products
    if not text:
        return products, None
    found = store.status(StatusQuery(limit=_PAGE, after=0, text=text)).appids
    return [one for one in products if text.lower() in one.product.lower()], found


def _look_at(store: Store, query: OfProduct) -> Seen | None:
    products = store.products(query.name)
    if not products.products:
        return None
    (counts,) = products.products
    status = store.status(
        StatusQuery(
            query.name, limit=_PAGE, after=query.after or 0, state=query.state, text=query.q or None
        )
    )
    hours = last_hours(store.hours, products.now)
    names = [entry.appid for entry in status.appids or ()]
    uses: dict[str, list[Use]] = {name: [] for name in names}
    for use in store.uses(names, hours[0].start):
        uses[use.appid].append(use)
    strips = {name: draw(found, hours, products.now) for name, found in uses.items()}
    line = store.line(LineQuery(query.name, _PAGE))
    places = _places(line, counts.total - counts.reserved, store.hours)
    return Seen(counts, used_this_hour(counts), status, strips, places, line.waiting)


def _places(line: Line, appids: int, hours: Hours) -> list[Place]:
    turns = [line.hour_end]
    while len(turns) < _FARTHEST_TURN:
        turns.append(hours.at(turns[-1]).end)
    found = []
    for waiter in line.waiters:
        number = (waiter.place - 1) // appids if appids else _FARTHEST_TURN
        turn = turns[number] if number < len(turns) else None
        since, heard = line.now - waiter.since, line.now - waiter.heard
        found.append(Place(waiter.place, waiter.holder, since, heard, waiter.forced, turn))
    return found


def _in_order(found: History) -> tuple[list[Event], int | None]:
    """Leases and acts together, the newest first, and the `before` of the next page."""
    events = [Event(lease.start, lease, None) for lease in found.leases]
    events += [Event(act.at, None, act) for act in found.acts]
    events.sort(key=lambda event: event.at, reverse=True)
    shown = events[:_EVENTS]
    for event in events[_EVENTS:]:
        if event.at != shown[-1].at:
            return shown, shown[-1].at
        shown.append(event)
    return shown, None
