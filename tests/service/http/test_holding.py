"""Requests that are held over a turn: who is answered when, and who is not granted."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

from appid_manager_client.server.http import work
from appid_manager_client.server.store import in_line
from appid_manager_client.testing import LocalService
from tests.service.conftest import Api
from tests.service.http.exchange import answers, connect, post, read_all
from tests.support.ours import our_service
from tests.support.waiting import PATIENCE, wait_until

HOUR = 4
GRACE = 0.4
LONG = 20.0
"""Seconds to be held: longer than any turn is away."""


class Told(NamedTuple):
    """An answer, and when it came, in seconds since the epoch."""

    status: int
    body: dict[str, Any]
    at: float


class Crowd:
    """Waiters for the product "p", each on a thread of its own."""

    def __init__(self, service: LocalService, threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self.service = service
        self.api = Api(service)

    def ask(self, request_id: str | None = None, **more: Any) -> Told:
        status, body = self.api.acquire("p", requestId=request_id or str(uuid.uuid4()), **more)
        return Told(status, body, self.service.clock() / 1000)

    def draw(self, count: int) -> list[str]:
        """Have so many draw a ticket. Returns their requests, in the order of the line."""
        requests = [str(uuid.uuid4()) for _ in range(count)]
        for number, request in enumerate(requests, 1):
            told = self.ask(request, wait=0)
            assert (told.status, told.body["place"]) == (202, number)
        return requests

    def hold(self, requests: Sequence[str], **more: Any) -> list[Future[Told]]:
        """Have requests held that drew tickets, and return once they are."""
        now = self.tick()
        asked = {"wait": LONG, **more}
        told = [self._threads.submit(self.ask, request, **asked) for request in requests]
        wait_until(lambda: self._heard_since(now) >= len(requests), what="all are held")
        return told

    def tick(self) -> int:
        """Let a moment pass on the service's clock, which stands still. Returns its time."""
        self.service.advance(0.001)
        return self.service.clock()

    def let_turn(self) -> float:
        """Have the service's clock run on, over the turn. Returns when that is."""
        self.service.clock.unfreeze()
        return self.service.hour.end / 1000

    def _heard_since(self, moment: int) -> int:
        return sum(one["heard"] >= moment for one in self.service.line("p"))

    def use_up(self, count: int) -> None:
        """Initialize the product; each of its AppIDs is in use until the end of the hour."""
        self.api.init("p", {f"a{number}": number for number in range(count)})
        for _ in range(count):
            told = self.ask(ttl=1)
            assert told.status == 200
            self.api.release("p", appid=told.body["appid"])


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    """With a service whose clock stands still, just before a turn."""
    with our_service(hour_seconds=HOUR) as service, ThreadPoolExecutor(32) as threads:
        service.clock.freeze()
        service.advance_to_next_hour(-2 * GRACE)
        yield Crowd(service, threads)
        service.clock.unfreeze()


def test_at_the_turn_the_first_in_line_are_granted_and_the_others_hear_it_at_once(crowd):
    crowd.use_up(2)
    held = crowd.hold(crowd.draw(5))
    turn = crowd.let_turn()
    told = [one.result(PATIENCE) for one in held]
    assert [one.status for one in told] == [200, 200, 202, 202, 202]
    assert all(turn <= one.at < turn + 1 for one in told), [one.at - turn for one in told]
    losers = [one.body for one in told[2:]]
    assert [(one["place"], one["waiting"], one["due"]) for one in losers] == [
        (1, 3, True),
        (2, 3, True),
        (3, 3, False),
    ]
    assert all(one["availableAt"] == round((turn + HOUR) * 1000) for one in losers)
    assert all(one["retry_after"] >= 1 for one in losers)


def test_who_went_away_while_it_was_held_is_not_granted(crowd):
    crowd.use_up(1)
    gone, next_one = crowd.draw(2)
    body = json.dumps({"productName": "p", "requestId": gone, "wait": LONG}).encode()
    token = b"X-API-Key: " + (crowd.service.auth_token or "").encode()
    now = crowd.tick()
    with connect(crowd.service) as peer:
        peer.sendall(post(token, body=body, close=False))
        wait_until(lambda: crowd.service.line("p")[0]["heard"] >= now, what="it is held")
    (held,) = crowd.hold([next_one])
    turn = crowd.let_turn()
    told = held.result(PATIENCE)
    # The dead cost one grace, and nothing else.
    assert told.status == 200
    assert turn + GRACE <= told.at < turn + GRACE + 1
    assert crowd.ask(gone).status == 202


def test_a_wait_that_is_over_is_answered_with_its_place(crowd):
    crowd.use_up(1)
    (waiter,) = crowd.draw(1)
    turn = crowd.let_turn()
    told = crowd.ask(waiter, wait=0.2)
    assert (told.status, told.body["place"]) == (202, 1)
    assert told.at < turn


def test_a_newer_request_with_the_same_id_takes_the_place_of_the_held_one(crowd):
    crowd.use_up(1)
    (waiter,) = crowd.draw(1)
    (older,) = crowd.hold([waiter])
    (newer,) = crowd.hold([waiter])
    crowd.let_turn()
    got = newer.result(PATIENCE)
    assert got.status == 200
    replaced = older.result(PATIENCE)
    # Another replica may hold the older one: it then gets the same lease.
    assert replaced.status == 202 or replaced.body["leaseId"] == got.body["leaseId"]


@pytest.mark.parametrize("by", ["requestId", "ticket"])
def test_who_leaves_is_answered_at_once_and_in_nobody_s_way(crowd, by):
    crowd.use_up(1)
    leaver, next_one = crowd.draw(2)
    ticket = crowd.ask(leaver).body["ticket"]
    left, stays = crowd.hold([leaver, next_one])
    crowd.api.release("p", **({by: leaver} if by == "requestId" else {by: ticket}))
    assert left.result(PATIENCE).status in (202, 409)
    turn = crowd.let_turn()
    told = stays.result(PATIENCE)
    assert told.status == 200
    assert told.at < turn + GRACE


def test_a_release_wakes_who_waits_with_force(crowd):
    crowd.api.init("p", {"a": 1})
    held = crowd.ask().body
    (waiter,) = crowd.draw(1)
    (told,) = crowd.hold([waiter], forceAcquire=True)
    crowd.api.release("p", appid="a", leaseId=held["leaseId"])
    assert told.result(PATIENCE).status == 200


def test_an_init_in_the_middle_of_the_hour_is_seen_by_those_who_are_held(crowd):
    crowd.use_up(1)
    told = crowd.hold(crowd.draw(3))
    crowd.api.init("p", {"a0": 0, "new 1": 1, "new 2": 2}, keepState=True)
    # To whoever asks first: another replica may look for the third one before.
    wait_until(lambda: sum(one.done() for one in told) >= 2, PATIENCE / 2, what="two are granted")
    assert [one.result().status for one in told if one.done()] == [200, 200]


def test_a_stop_answers_all_who_are_held_and_has_them_come_again(crowd):
    crowd.use_up(1)
    told = crowd.hold(crowd.draw(3))
    now = crowd.service.clock()
    began = time.monotonic()
    crowd.service.stop()
    assert time.monotonic() - began < LONG / 2
    for one in told:
        status, body, _ = one.result(PATIENCE)
        assert status == 202
        assert now <= body["checkIn"]["from"] <= crowd.service.clock()


def test_a_service_that_holds_enough_answers_at_once_and_keeps_the_place(crowd, monkeypatch):
    monkeypatch.setattr(work, "MOST_HELD", 0)
    crowd.service.restart()
    crowd.use_up(1)
    (waiter,) = crowd.draw(1)
    ticket = crowd.ask(waiter).body["ticket"]
    told = crowd.ask(waiter, wait=LONG)
    turn = crowd.service.hour.end
    assert told.status == 202
    assert told.body["ticket"] == ticket
    assert told.body["checkIn"] == {"from": turn, "by": turn + 250, "until": turn + 250}


def test_a_line_that_is_full_says_so(crowd, monkeypatch):
    monkeypatch.setattr(in_line, "MOST_TICKETS", 1)
    crowd.use_up(1)
    crowd.draw(1)
    told = crowd.ask(wait=0)
    assert (told.status, told.body["error"]) == (429, "too_many_waiting")


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"wait": -0.1}, "wait"),
        ({"wait": 20.1}, "wait"),
        ({"wait": "1"}, "wait"),
        ({"wait": 1, "requestId": None}, "requestId"),
        ({"minRemaining": HOUR}, "minRemaining"),
        ({"minRemaining": -1}, "minRemaining"),
        ({"notBefore": 10**15}, "notBefore"),
        ({"ticket": ""}, "ticket"),
        ({"ticket": 1}, "ticket"),
    ],
)
def test_what_is_out_of_range_is_refused_with_its_field(crowd, more, field):
    crowd.use_up(1)
    status, body = crowd.api.acquire("p", **{"requestId": str(uuid.uuid4()), **more})
    assert (status, body["error"], body["field"]) == (400, "invalid_request", field)


def test_a_half_closed_caller_is_let_go(crowd):
    crowd.use_up(1)
    (waiter,) = crowd.draw(1)
    body = json.dumps({"productName": "p", "requestId": waiter, "wait": LONG}).encode()
    token = b"X-API-Key: " + (crowd.service.auth_token or "").encode()
    with connect(crowd.service) as peer:
        peer.sendall(post(token, body=body, close=False))
        peer.shutdown(1)
        ((status, told),) = answers(read_all(peer))
    assert (status, told.get("place", told.get("field"))) in [(202, 1), (400, "requestId")]


def test_the_line_is_shown_in_pages(crowd):
    crowd.use_up(1)
    crowd.draw(3)
    status, page = crowd.api.get("/api/appid/line", productName="p", limit=2)
    assert status == 200
    assert (page["waiting"], page["next"]) == (3, 2)
    assert [(one["place"], one["due"]) for one in page["line"]] == [(1, True), (2, False)]
    _, rest = crowd.api.get("/api/appid/line", productName="p", limit=2, after=page["next"])
    assert [one["place"] for one in rest["line"]] == [3]
    assert "next" not in rest
    _, products = crowd.api.get("/api/appid/products")
    assert products["products"][0]["waiting"] == 3
