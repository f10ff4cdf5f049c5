"""The transitions of claims: from each state, what each thing that can happen makes of it."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from appid_manager_client.lease.claim import Claim, ClaimState, Outcome
from appid_manager_client.lease.ledger import LONGEST_RELEASE_BACKOFF, Ledger
from appid_manager_client.runtime.time import SystemTime
from appid_manager_client.wire.models import Grant

OPEN, SENDING, HELD = ClaimState.OPEN, ClaimState.SENDING, ClaimState.HELD
RELEASING, OWED, ENDED = ClaimState.RELEASING, ClaimState.OWED, ClaimState.ENDED

GRANT = Grant("a", 1, "p", 1_700_000_000_000)
LEASED = Grant("a", 1, "p", 1_700_000_000_000, "lease-1", 1_700_000_060_000, 1_700_000_000_000)


class TurnedTime(SystemTime):
    """A clock that is turned by hand, with the longest jitter."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def uniform(self, low: float, high: float) -> float:
        return high


@pytest.fixture
def time() -> TurnedTime:
    return TurnedTime()


@pytest.fixture
def ledger(time: TurnedTime) -> Ledger:
    return Ledger(time)


def claim_in(ledger: Ledger, state: ClaimState, grant: Grant = LEASED) -> Claim:
    """A claim that came into `state` by the ledger's own transitions."""
    claim = Claim("p", ttl=60.0)
    ledger.add(claim)
    if state is OPEN:
        return claim
    assert ledger.begin_acquire(claim)
    if state is SENDING:
        return claim
    ledger.end_acquire(claim, grant, sent=1000.0, in_doubt=False)
    if state is OWED:
        ledger.give_up(claim)
    elif state is RELEASING:
        ledger.begin_release(claim)
    elif state is ENDED:
        ledger.end(claim)
    assert claim.state is state
    return claim


@pytest.mark.parametrize("state", ClaimState)
@pytest.mark.parametrize(
    ("happens", "leads"),
    [
        ("begin_acquire", {OPEN: SENDING}),
        ("give_up", {OPEN: ENDED, HELD: OWED, OWED: OWED}),
        ("begin_release", {HELD: RELEASING, OWED: RELEASING}),
        ("forget", {HELD: OWED}),
        ("leave", {OPEN: ENDED, SENDING: ENDED, HELD: ENDED, RELEASING: ENDED, OWED: ENDED}),
    ],
)
def test_from_each_state_only_what_makes_sense_there_changes_it(
    ledger: Ledger, state: ClaimState, happens: str, leads: dict[ClaimState, ClaimState]
) -> None:
    claim = claim_in(ledger, state)
    happen: Callable[[Claim], object] = getattr(ledger, happens)
    happen(claim)
    assert claim.state is leads.get(state, state)


@pytest.mark.parametrize(
    ("owe", "after"), [(True, OWED), (False, ENDED)], ids=["unheard", "as the service says"]
)
def test_what_is_lost_is_owed_only_where_it_may_live_on(
    ledger: Ledger, owe: bool, after: ClaimState
) -> None:
    held, releasing = claim_in(ledger, HELD), claim_in(ledger, RELEASING)
    assert ledger.lose(held, owe=owe) is after
    assert ledger.lose(releasing, owe=owe) is None
    assert releasing.state is RELEASING


def test_what_was_given_up_on_the_wire_is_owed_as_soon_as_it_is_granted(ledger: Ledger) -> None:
    claim = claim_in(ledger, SENDING)
    assert ledger.give_up(claim) is None
    ledger.end_acquire(claim, LEASED, sent=1000.0, in_doubt=False)
    assert claim.state is OWED
    assert not ledger.begin_acquire(claim)


def test_a_lost_answer_is_owed_although_nothing_is_known_to_be_granted(ledger: Ledger) -> None:
    claim = claim_in(ledger, SENDING)
    ledger.end_acquire(claim, None, sent=999.0, in_doubt=True)
    assert (claim.state, claim.unanswered) == (OPEN, [(999.0, 1000.0)])
    assert ledger.give_up(claim) is OWED
    assert [pending.appid for pending in ledger.pending()] == [None]


@pytest.mark.parametrize(("grant", "known"), [(GRANT, [("p", [(999.0, 1000.0)])]), (LEASED, [])])
def test_lost_answers_are_reported_once_where_the_service_does_not_know_requests(
    ledger: Ledger, grant: Grant, known: list[object]
) -> None:
    claim = claim_in(ledger, SENDING)
    ledger.end_acquire(claim, None, sent=999.0, in_doubt=True)
    assert ledger.begin_acquire(claim)
    ledger.end_acquire(claim, grant, sent=1000.0, in_doubt=False)
    assert ledger.has_unanswered is bool(known)
    assert ledger.take_unanswered() == known
    assert ledger.take_unanswered() == []


def test_a_release_that_is_not_delivered_is_tried_again_with_growing_pauses(
    ledger: Ledger, time: TurnedTime
) -> None:
    claim = claim_in(ledger, HELD)
    pauses = []
    assert ledger.begin_release(claim) is True
    for _ in range(12):
        assert ledger.end_release(claim, Outcome.DEFERRED, "refused") is OWED
        pauses.append(claim.next_try - time.now)
        assert ledger.take_due(16.0) == []
        time.now = claim.next_try
        assert ledger.next_due() == time.now
        assert ledger.take_due(16.0) == [claim]
        assert ledger.take_due(16.0) == []  # somebody is at it
        assert ledger.begin_release(claim) is False
    assert pauses == sorted(pauses) and pauses[0] == 0.5 and pauses[-1] == LONGEST_RELEASE_BACKOFF
    assert ledger.end_release(claim, Outcome.RELEASED, None) is ENDED
    assert ledger.empty and ledger.pending() == ()


def test_what_is_pending_says_since_when_and_why(ledger: Ledger, time: TurnedTime) -> None:
    claim = claim_in(ledger, HELD)
    ledger.begin_release(claim)
    ledger.end_release(claim, Outcome.DEFERRED, "no route")
    time.now += 5.0
    (pending,) = ledger.pending()
    assert (pending.appid, pending.seconds, pending.attempts) == ("a", 5.0, 1)
    assert pending.last_error == "no route"


def test_a_parent_process_keeps_its_claims(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = claim_in(ledger, HELD)
    child = os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: child)
    assert ledger.begin_release(claim) is None
    assert ledger.forget(claim) is None
    assert ledger.of_this_process() == []
    assert claim.state is HELD


def test_a_heartbeat_confirms_only_what_is_held_and_never_backwards(ledger: Ledger) -> None:
    held, releasing = claim_in(ledger, HELD), claim_in(ledger, RELEASING)
    ledger.confirm([held, releasing], 1010.0)
    ledger.confirm([held], 1005.0)
    assert (held.heard_at, releasing.heard_at) == (1010.0, 1000.0)


def test_a_repeated_grant_counts_its_ttl_from_when_it_was_really_made(ledger: Ledger) -> None:
    old = Grant("a", 1, "p", 1_700_000_000_000, "lease-1", 1_700_000_060_000, 1_700_000_045_000)
    claim = claim_in(ledger, HELD, old)
    assert claim.overdue_at == 1000.0 - 45.0 + 60.0


@pytest.mark.parametrize("state", [OPEN, SENDING, HELD, RELEASING, OWED, ENDED])
def test_an_acquire_is_sent_only_for_an_open_claim_that_nobody_gave_up(
    ledger: Ledger, state: ClaimState
) -> None:
    claim = claim_in(ledger, state)
    assert ledger.begin_acquire(claim) is (state is OPEN)
    given_up = claim_in(ledger, OPEN)
    ledger.give_up(given_up)
    assert not ledger.begin_acquire(given_up)
