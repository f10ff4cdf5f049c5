"""The claims of one client, and every transition between their states. Pure: it does no I/O.

The keeper asks it, under its lock, what is to be done, and does that outside the lock. Claim
states are assigned in this file alone.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterable

from ..runtime.time import SystemTime
from ..wire.models import Grant
from ..wire.retry import backoff
from .agenda import Agenda
from .claim import Claim, ClaimState, Outcome, PendingRelease

LONGEST_RELEASE_BACKOFF = 60.0
"""The longest pause between two tries of a release, in seconds."""

BEATS_PER_TTL = 3
"""A heartbeat is due after a third of a `ttl`: some can fail before the lease ends."""

_LONGEST_PAUSE = 5.0
"""Seconds from a heartbeat that failed to the next; a tenth of the `ttl` where that is less."""

_HELD, _OWED = ClaimState.HELD, ClaimState.OWED

Span = tuple[float, float]
"""When an acquire was sent, and when it broke off, on the monotonic clock."""


class Ledger:
    """The claims of one client in this process.

    A transition returns the new state of the claim, or `None` if the claim stays as it is.

    Attributes:
        lock: to be held by whoever calls a method; it guards the states of all claims.
    """

    def __init__(self, system: SystemTime) -> None:
        self._system = system
        self.start_afresh()

    def start_afresh(self) -> None:
        """Forget all claims: in a forked child they are the parent's, which releases them."""
        self.lock = threading.Lock()
        self._claims: set[Claim] = set()
        self._held = Agenda(lambda claim: claim.beat_at if claim.state is _HELD else None)
        self._owed = Agenda(lambda claim: claim.next_try if claim.state is _OWED else None)
        self._unanswered: list[tuple[str, list[Span]]] = []

    # --- questions

    @property
    def empty(self) -> bool:
        """Whether there are no claims."""
        return not self._claims

    @property
    def has_unanswered(self) -> bool:
        """Whether there are lost answers that nobody was told of yet."""
        return bool(self._unanswered)

    def of_this_process(self) -> list[Claim]:
        """The claims that are not a parent process's."""
        return [claim for claim in self._claims if claim.pid == os.getpid()]

    def pending(self) -> tuple[PendingRelease, ...]:
        """The releases that are owed."""
        now = self._system.monotonic()
        return tuple(
            PendingRelease(
                claim.product_name,
                claim.appid,
                now - claim.owed_since,
                claim.attempts,
                claim.last_error,
            )
            for claim in self._claims
            if claim.owed_since
        )

    def next_due(self) -> float | None:
        """When there is something to do next (monotonic), or `None` if nothing can become due.

        Infinite while claims are held that need no heartbeats: their leases can be forgotten.
        """
        firsts = (self._held.first(), self._owed.first())
        return min((first[0] for first in firsts if first is not None), default=None)

    # --- acquiring

    def add(self, claim: Claim) -> None:
        """Take in a claim that is about to be asked for."""
        self._claims.add(claim)

    def begin_acquire(self, claim: Claim, *, in_line: bool = False) -> bool:
        """An acquire is about to be sent. Returns whether it may: not if it was given up.

        `in_line`: it takes or keeps a place in the service's line.
        """
        if claim.abandoned or claim.state is not ClaimState.OPEN:
            return False
        claim.in_line = claim.in_line or in_line
        claim.state = ClaimState.SENDING
        return True

    def end_acquire(
        self, claim: Claim, grant: Grant | None, *, sent: float, in_doubt: bool
    ) -> None:
        """An acquire came to its end. `in_doubt`: its answer was lost, and it may have arrived."""
        now = self._system.monotonic()
        if in_doubt:
            claim.unanswered.append((sent, now))
        if grant is None:
            claim.state = ClaimState.OPEN
            return
        claim.grant = grant
        claim.in_line = False
        claim.granted_at = now
        claim.heard_at = sent - _age(grant, claim.ttl)
        if claim.unanswered and grant.lease_id is None:
            # A field service doesn't know the request again: the lost answer stays unknown.
            self._unanswered.append((claim.product_name, claim.unanswered))
            claim.unanswered = []
        if claim.abandoned:
            self._owe(claim)
            return
        if claim.on_lost is not None:
            self._put_off_beat(claim)
            # Before its state changes: an interrupt in between must not leave it where nobody
            # looks.
            self._held.put(claim, claim.beat_at)
        claim.state = ClaimState.HELD

    def give_up(self, claim: Claim) -> ClaimState | None:
        """Nobody waits for `claim` any more: what it got, or may get yet, is owed."""
        if claim.state is ClaimState.SENDING:
            claim.abandoned = True
            return None
        if claim.state is ClaimState.OPEN and not claim.unanswered and not claim.in_line:
            return self.end(claim)
        if claim.state in (ClaimState.OPEN, ClaimState.HELD, ClaimState.OWED):
            return self._owe(claim)
        return None

    def left_line(self, claim: Claim) -> None:
        """The claim has no place in line that it would have to leave: it left, or it is kept."""
        claim.in_line = False

    def take_unanswered(self) -> list[tuple[str, list[Span]]]:
        """The lost answers of field services, by product, that nobody was told of yet."""
        unanswered, self._unanswered = self._unanswered, []
        return unanswered

    # --- keeping

    def take_beats(self) -> list[Claim]:
        """All that heartbeats keep alive, if that of one is due: one call is for all of them.

        Until the service has answered, none is due again before a pause.
        """
        now = self._system.monotonic()
        first = self._held.first()
        if first is None or first[0] > now:
            return []
        held = [claim for claim in self._held if claim.state is ClaimState.HELD and claim.beating]
        for claim in held:
            pause = min(_LONGEST_PAUSE, (claim.ttl or 0.0) / 10)
            claim.beat_at = max(claim.beat_at, now + pause)
        return held

    def confirm(self, claims: Iterable[Claim], sent: float) -> None:
        """The service answered a heartbeat, sent at that moment: these leases live."""
        for claim in claims:
            if claim.state is ClaimState.HELD:
                claim.heard_at = max(claim.heard_at, sent)
                self._put_off_beat(claim)

    def lose(self, claim: Claim, *, owe: bool) -> ClaimState | None:
        """A held claim was lost. `owe`: it may live on at the service, so it is released too."""
        if claim.state is not ClaimState.HELD:
            return None  # a heartbeat on the wire changes nothing about what was given back
        return self._owe(claim) if owe else self.end(claim)

    def forget(self, claim: Claim) -> ClaimState | None:
        """The lease of a claim was garbage-collected: what it held is owed."""
        if claim.pid != os.getpid() or claim.state is not ClaimState.HELD:
            return None
        return self._owe(claim)

    # --- releasing

    def begin_release(self, claim: Claim) -> bool | None:
        """A release is about to be sent. Returns whether it is the holder's own first try.

        `None`: there is nothing to release. The claim has ended, another thread releases it, or
        it belongs to the parent process.
        """
        if claim.pid != os.getpid():
            return None
        if claim.state not in (ClaimState.HELD, ClaimState.OWED):
            return None
        first = claim.attempts == 0 and claim.state is ClaimState.HELD
        claim.state = ClaimState.RELEASING
        return first

    def end_release(self, claim: Claim, outcome: Outcome, error: object) -> ClaimState:
        """A release came to its end. One that was not delivered is owed."""
        if outcome is not Outcome.DEFERRED:
            return self.end(claim)
        claim.attempts += 1
        claim.last_error = str(error or "interrupted")
        return self._owe(claim)

    def take_due(self, bound: float) -> list[Claim]:
        """The owed claims whose next try is due; not due again for `bound` seconds."""
        now = self._system.monotonic()
        due: list[Claim] = []
        while (first := self._owed.first()) is not None and first[0] <= now:
            first[1].next_try = now + bound
            due.append(first[1])
        return due

    def leave(self, claim: Claim) -> ClaimState | None:
        """Give up releasing a claim: the process ends."""
        return None if claim.state is ClaimState.ENDED else self.end(claim)

    def end(self, claim: Claim) -> ClaimState:
        """Nothing is owed for `claim` any more."""
        claim.state = ClaimState.ENDED
        claim.owed_since = 0.0
        self._claims.discard(claim)
        self._held.forget(claim)
        self._owed.forget(claim)
        return claim.state

    def _owe(self, claim: Claim) -> ClaimState:
        now = self._system.monotonic()
        if claim.attempts:
            claim.next_try = now + backoff(self._system, claim.attempts, LONGEST_RELEASE_BACKOFF)
        self._claims.add(claim)  # again, if it was left at the end and was granted after all
        self._owed.put(claim, claim.next_try)  # before its state changes, as in end_acquire
        claim.owed_since = claim.owed_since or now
        claim.state = ClaimState.OWED
        return claim.state

    def _put_off_beat(self, claim: Claim) -> None:
        period = (claim.ttl or 0.0) / BEATS_PER_TTL if claim.beating else math.inf
        claim.beat_at = claim.heard_at + period


def _age(grant: Grant, ttl: float | None) -> float:
    """How much of its `ttl` a grant had used up: a repeated request gets the old grant again."""
    if ttl is None or grant.expires_at_ms is None or grant.server_time_ms is None:
        return 0.0
    return max(0.0, ttl - (grant.expires_at_ms - grant.server_time_ms) / 1000)
