"""The AppIDs that a pool holds, which lease has each of them, and which waiter gets the next.

A part of the pool's plan: no I/O, and guarded by the plan's lock.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..lease.claim import Claim, ClaimState
from ..lease.held import LeaseState
from ..runtime.time import SystemTime
from .hour import HourWindow
from .model import Figures, PoolOptions, Slot, SlotState, Ticket
from .queue import Waiter, WaitingQueue

# Names of a module are found faster than members of an enum: a checkout takes about 1 us.
_HELD, _RELEASED, _LOST = LeaseState.HELD, LeaseState.RELEASED, LeaseState.LOST
_IDLE, _CHECKED_OUT, _RETIRED = SlotState.IDLE, SlotState.CHECKED_OUT, SlotState.RETIRED
_RELEASING, _REMOVED = SlotState.RELEASING, SlotState.REMOVED


class Slots:
    """The slots of a pool.

    Attributes:
        idle: the slots that can be checked out, the one given back last at the end.
        served: waiters that were served since the last decision, and are not notified yet.
        peak: the most slots of this hour that were checked out at once.
        closed: whether nothing is handed out any more.
        needs_decision: whether something changed that the plan has to decide about.
    """

    def __init__(
        self,
        options: PoolOptions,
        hour: HourWindow,
        queue: WaitingQueue,
        figures: Figures,
        system: SystemTime,
    ) -> None:
        self.idle: list[Slot] = []
        self.served: list[Waiter] = []
        self.peak = 0
        self.closed = False
        self.needs_decision = options.min_size > 0
        self._hour = hour
        self._queue = queue
        self._figures = figures
        self._system = system
        self._max_uses = options.max_uses
        self._keep = options.on_error == "keep"
        self._all: set[Slot] = set()
        self._undelivered: list[Slot] = []
        self._checked_out = 0
        self._past_uses = 0

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._all)

    def count(self, *states: SlotState) -> int:
        """How many slots are in one of these states."""
        return sum(slot.state in states for slot in self._all)

    @property
    def checkouts(self) -> int:
        """How many times slots were checked out since the pool was made."""
        # Added up here: a counter of its own would make each checkout slower.
        return self._past_uses + sum(slot.uses for slot in self._all)

    # --- checkouts

    def take(self, ticket: Ticket, now: float) -> bool:
        """Lend the slot that was given back last to `ticket`, if it is idle and nobody waits.

        Returns whether it did. It tries no other slot, so that a checkout stays cheap: who gets
        nothing here is queued, and then every slot is looked at.
        """
        idle = self.idle
        if not idle or self._queue.waiting or ticket.state is _HELD:
            return False
        slot = idle[-1]
        if now >= slot.closes_at or now + ticket.min_remaining > slot.ends_at:
            return False
        if slot.beat_within is not None and now > slot.claim.heard_at + slot.beat_within:
            return False
        # From here on nothing is called, so that no signal's exception can come in between
        # (CPython looks for signals at calls and loops). The slot is idle or the ticket's, never
        # neither.
        ticket.slot = slot
        ticket.state = _HELD
        slot.state = _CHECKED_OUT
        del idle[-1]
        slot.uses += 1
        self._checked_out += 1
        if self._checked_out > self.peak:
            self.peak = self._checked_out
        return True

    def give_back(self, ticket: Ticket, failed: bool) -> Waiter | bool:
        """Take back the slot that `ticket` holds: for the next waiter, for later, or to release.

        Returns the waiter who has the slot now and must be notified. If no waiter got it, returns
        whether `ticket` held a slot.
        """
        slot = ticket.slot
        if slot is None or ticket.state is not _HELD:
            return False
        if slot.state is not _CHECKED_OUT:
            # It was lost meanwhile, or is a parent process's. The pool does not hold it any more.
            ticket.state = _LOST if slot.loss else _RELEASED
            return False
        if slot.stale or (failed and not self._keep) or slot.uses == self._max_uses or self.closed:
            slot.state = _RETIRED
            ticket.state = _RELEASED
            self.needs_decision = True
            self._count_return(slot)
            return True
        if self._queue.waiting:
            now = self._system.monotonic()
            waiter = self._next_for(slot, now) if now < slot.closes_at else None
            if waiter is not None:
                self._serve(waiter, slot, now, giver=ticket)
                return waiter
        # As in take(), nothing is called from here on. If its hour has closed just now, the next
        # decision retires the slot.
        idle = self.idle
        idle += (slot,)
        slot.state = _IDLE
        ticket.state = _RELEASED
        self._checked_out -= 1
        return True

    def retire_forgotten(self, slot: Slot) -> None:
        """The lease that held `slot` was garbage-collected.

        Other code may still use this AppID, so it is released instead of reused.
        """
        if slot.state is _CHECKED_OUT:
            slot.state = _RETIRED
            self._count_return(slot)
            self.needs_decision = True

    def _next_for(self, slot: Slot, now: float) -> Waiter | None:
        """The first waiter who accepts `slot`. Those before it are postponed to the next hour."""
        while self._queue.waiting:
            waiter = self._queue.first()
            if waiter.accepts(slot.hour_end, slot.ends_at, now):
                return waiter
            self._queue.postpone(waiter)
            self.needs_decision = True
        return None

    def _serve(
        self, waiter: Waiter, slot: Slot, now: float, *, giver: Ticket | None = None
    ) -> None:
        """Lend a slot to a waiter: an idle one, or the one that `giver` holds."""
        ticket = waiter.ticket
        # As in take(), nothing is called until the waiter owns the slot and has left the queue.
        ticket.slot = slot
        ticket.state = _HELD
        if giver is None:
            slot.state = _CHECKED_OUT
            self._checked_out += 1
            if self._checked_out > self.peak:
                self.peak = self._checked_out
        else:
            giver.state = _RELEASED
        slot.uses += 1
        waiter.served = True
        self._figures.wait_seconds += now - waiter.since
        del self._queue.waiting[waiter.number]
        self._queue.constrained.pop(waiter.number, None)

    def _offer(self, slot: Slot, now: float) -> None:
        """Give a slot to the next waiter, or keep it for later."""
        waiter = self._next_for(slot, now)
        if waiter is None:
            slot.state = _IDLE
            self.idle.append(slot)
        else:
            self._serve(waiter, slot, now)
            self.served.append(waiter)

    def _count_return(self, slot: Slot) -> None:
        if self._hour.hour_end is None or slot.hour_end >= self._hour.hour_end:
            self._checked_out = max(0, self._checked_out - 1)

    # --- what is granted, released and lost

    def add(self, claim: Claim, hour_end: float, now: float) -> None:
        """Add a slot for an AppID that was granted in the hour that ends at `hour_end`."""
        closes_at, ends_at = self._hour.bounds(now, hour_end)
        slot = Slot(claim, hour_end, closes_at, ends_at, claim.ttl if claim.beating else None)
        self._all.add(slot)
        if self._hour.hour_end is not None and hour_end < self._hour.hour_end:
            # The answer came after the turn: the AppID was held over it.
            self._figures.burned += 1
        if self.closed or now >= slot.closes_at:
            slot.state = _RETIRED
        else:
            self._offer(slot, now)

    def begin_releases(self) -> list[Slot]:
        """The retired slots, whose releases are sent now."""
        retired = [slot for slot in self._all if slot.state is _RETIRED]
        for slot in retired:
            slot.state = _RELEASING
        return retired

    def released(self, slot: Slot) -> None:
        """The release of a slot was tried. If it failed, the keeper goes on trying."""
        if slot not in self._all:
            return
        if slot.claim.state is not ClaimState.ENDED:
            self._undelivered.append(slot)
        self._remove(slot)

    def lost(self, claim: Claim, reason: str) -> None:
        """The keeper says that a claim ended before it was given back."""
        slot = next((slot for slot in self._all if slot.claim is claim), None)
        if slot is None:
            return
        self._figures.lost += 1
        slot.loss = reason
        if slot.state is _CHECKED_OUT:
            self._count_return(slot)
        elif slot.state is _IDLE:
            self.idle.remove(slot)
        if slot.state is not _RELEASING:
            self._remove(slot)

    def _remove(self, slot: Slot) -> None:
        self._figures.burned += slot.uses == 0
        self._past_uses += slot.uses
        self._all.discard(slot)
        slot.state = _REMOVED
        self.needs_decision = True

    # --- the hour

    def retire_or_offer_idle(self, now: float) -> None:
        """Retire the idle slots that are stale, and offer the others to the waiters."""
        idle, self.idle = self.idle, []
        for slot in idle:
            if self.closed or slot.stale:
                slot.state = _RETIRED
            else:
                self._offer(slot, now)

    def count_held_over(self, hour_end: float) -> int:
        """How many AppIDs are in use in the hour that ends at `hour_end`, though of an earlier one.

        They are those that the pool still holds, and those whose releases have not been delivered.
        """
        self._undelivered = [
            slot for slot in self._undelivered if slot.claim.state is not ClaimState.ENDED
        ]
        return sum(slot.hour_end < hour_end for slot in self._all) + len(self._undelivered)

    def begin_hour(self, hour_end: float) -> int:
        """Count anew what is checked out at once, for the hour that ends at `hour_end`.

        Returns the most that were checked out at once in the hour before.
        """
        peak, self.peak = self.peak, 0
        self._checked_out = sum(
            slot.state is _CHECKED_OUT and slot.hour_end >= hour_end for slot in self._all
        )
        return peak

    def close(self) -> None:
        """Hand out nothing any more: retire what is idle."""
        self.closed = True
        self.needs_decision = True
        while self.idle:
            # Retired first: after an interrupt in between, a second `close` goes on.
            self.idle[-1].state = _RETIRED
            del self.idle[-1]

    def any_may_return(self, now: float) -> bool:
        """Whether a slot is idle, or may be given back and used again in this hour."""
        return any(
            slot.state is _IDLE
            or (slot.state is _CHECKED_OUT and now < slot.closes_at and slot.uses != self._max_uses)
            for slot in self._all
        )

    def count_usable(self, now: float) -> int:
        """How many slots of this hour there are, idle or checked out."""
        return sum(
            slot.state in (_IDLE, _CHECKED_OUT) and now < slot.closes_at for slot in self._all
        )
