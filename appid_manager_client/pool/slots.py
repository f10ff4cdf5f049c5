"""What a pool holds, who has it, and who waits for it.

A part of the pool's plan: no I/O, and guarded by the pool's lock.
"""

from __future__ import annotations

from ..lease.claim import Claim, ClaimState
from ..lease.held import LeaseState
from ..runtime.time import SystemTime
from .hour import Turn
from .lease import PooledLease
from .model import Figures, PoolOptions, Slot, SlotState
from .queue import Line, Waiter

# Names of a module are found faster than members of an enum: a checkout counts in tenths of microseconds.
_HELD, _RELEASED, _LOST = LeaseState.HELD, LeaseState.RELEASED, LeaseState.LOST
_IDLE, _OUT, _LEAVING = SlotState.IDLE, SlotState.OUT, SlotState.LEAVING
_GIVING_BACK, _GONE = SlotState.GIVING_BACK, SlotState.GONE


class Shelf:
    """The slots of a pool, and the line for them.

    Attributes:
        slots: all that the pool holds; `idle`: those that wait for a checkout, the latest last.
        line: who waits; `served`: who has just been served, and is to be told.
        peak: the most that were checked out at once in this hour, of those that were granted in it.
        closed: nothing is handed out any more.
        restless: there may be something to decide.
    """

    def __init__(self, options: PoolOptions, turn: Turn, system: SystemTime) -> None:
        self.options = options
        self.turn = turn
        self.system = system
        self.line = Line()
        self.served: list[Waiter] = []
        self.figures = Figures()
        self.slots: set[Slot] = set()
        self.idle: list[Slot] = []
        self.peak = 0
        self.closed = False
        self.restless = options.min_size > 0
        self._max_uses = options.max_uses
        self._keep = options.on_error == "keep"
        self._owed: list[Slot] = []
        self._out = 0

    def take(self, lease: PooledLease, now: float) -> bool:
        """Lend an idle slot to `lease` if there is one and nobody waits."""
        idle = self.idle
        if not idle or self.line.waiting or lease._state is _HELD:
            return False
        slot = idle[-1]
        if now >= slot.closes_at or now + lease._min_remaining > slot.ends_at:
            return False
        if slot.hour_end <= lease._later_than:
            return False
        if slot.beat_within is not None and now > slot.claim.heard_at + slot.beat_within:
            return False
        # From here on nothing is called, so that no signal's exception comes in between (CPython looks for signals
        # at calls and loops): the slot is idle or the lease's, never neither.
        lease._slot = slot
        lease._state = _HELD
        slot.state = _OUT
        del idle[-1]
        slot.uses += 1
        self.figures.checkouts += 1
        self._out += 1
        if self._out > self.peak:
            self.peak = self._out
        return True

    def put_back(self, lease: PooledLease, failed: bool) -> Waiter | bool:
        """Take back what `lease` holds: for the next in line, for later, or not to be reused.

        Gives the waiter who has it now, and is to be told; otherwise whether there was anything to take back.
        """
        slot = lease._slot
        if slot is None or lease._state is not _HELD:
            return False
        if slot.state is not _OUT or slot not in self.slots:
            # Lost meanwhile, or a parent process's: it is nothing to the pool any more.
            lease._state = _LOST if slot.loss else _RELEASED
            return False
        if slot.stale or (failed and not self._keep) or slot.uses == self._max_uses or self.closed:
            slot.state = _LEAVING
            lease._state = _RELEASED
            self.restless = True
            self._count_return(slot)
            return True
        if self.line.waiting:
            now = self.system.monotonic()
            waiter = self._next_for(slot, now) if now < slot.closes_at else None
            if waiter is not None:
                self._out -= 1
                lease._state = _RELEASED
                self._serve(waiter, slot, now)
                return waiter
        # As in take(), nothing is called from here on. If its hour has closed just now, the next decision clears it up.
        idle = self.idle
        idle += (slot,)
        slot.state = _IDLE
        lease._state = _RELEASED
        self._out -= 1
        return True

    def put_back_forgotten(self, slot: Slot) -> None:
        """The lease that held `slot` was garbage-collected. Who knows what still uses the AppID: it isn't reused."""
        if slot.state is _OUT and slot in self.slots:
            slot.state = _LEAVING
            self._count_return(slot)
            self.restless = True

    def _next_for(self, slot: Slot, now: float) -> Waiter | None:
        while self.line.waiting:
            waiter = self.line.first()
            if suits(waiter.lease, slot.hour_end, slot.ends_at, now):
                return waiter
            self.line.step_aside(waiter)
            self.restless = True
        return None

    def _serve(self, waiter: Waiter, slot: Slot, now: float) -> None:
        lease = waiter.lease
        lease._slot = slot
        lease._state = _HELD
        slot.state = _OUT
        slot.uses += 1
        waiter.served = True
        self.line.leave(waiter)
        self.figures.checkouts += 1
        self.figures.wait_seconds += now - waiter.since
        self._out += 1
        self.peak = max(self.peak, self._out)

    def _offer(self, slot: Slot, now: float) -> None:
        """Give a slot to the next in line, or keep it for later."""
        waiter = self._next_for(slot, now)
        if waiter is None:
            slot.state = _IDLE
            self.idle.append(slot)
        else:
            self._serve(waiter, slot, now)
            self.served.append(waiter)

    def _count_return(self, slot: Slot) -> None:
        if self.turn.hour_end is None or slot.hour_end >= self.turn.hour_end:
            self._out = max(0, self._out - 1)

    def add(self, slot: Slot, now: float) -> None:
        """Take in what was granted."""
        self.slots.add(slot)
        if self.turn.hour_end is not None and slot.hour_end < self.turn.hour_end:
            self.figures.burned += (
                1  # an answer that brings only now what was granted before the turn
            )
        if self.closed or now >= slot.closes_at:
            slot.state = _LEAVING
        else:
            self._offer(slot, now)

    def settled(self, slot: Slot) -> None:
        """A slot was given back, or the keeper goes on trying to."""
        if slot not in self.slots:
            return
        if slot.claim.state is not ClaimState.ENDED:
            self._owed.append(slot)
        self._forget(slot)

    def lost(self, claim: Claim, reason: str) -> None:
        """The keeper says that a claim ended before it was given back."""
        slot = next((slot for slot in self.slots if slot.claim is claim), None)
        if slot is None:
            return
        self.figures.lost += 1
        slot.loss = reason
        if slot.state is _OUT:
            self._count_return(slot)
        elif slot.state is _IDLE:
            self.idle.remove(slot)
        if slot.state is not _GIVING_BACK:
            self._forget(slot)

    def _forget(self, slot: Slot) -> None:
        self.figures.burned += slot.uses == 0
        self.slots.discard(slot)
        slot.state = _GONE
        self.restless = True

    def new_hour(self, turned: int) -> int:
        """Count what stands over the turn as burned. Gives how many were out at once in the hour before."""
        end = self.turn.hour_end
        assert end is not None
        peak, self.peak = self.peak, 0
        old = [slot for slot in self.slots if slot.hour_end < end]
        self._out = sum(slot.state is _OUT and slot.hour_end >= end for slot in self.slots)
        self._owed = [slot for slot in self._owed if slot.claim.state is not ClaimState.ENDED]
        self.figures.burned += turned * (len(old) + len(self._owed))
        self.line.new_hour()
        return peak if turned == 1 else 0

    def hours_moved(self) -> None:
        """A zone was shifted, a clock was set: the hours of what is held end elsewhere than was thought.

        And this one may be long enough now for those who stood aside.
        """
        for slot in self.slots:
            if slot.claim.grant is not None:
                slot.hour_end = self.turn.end_of(slot.claim.grant.start_time / 1000, slot.hour_end)
        self.line.new_hour()

    def set_aside(self, now: float) -> None:
        """Whom this hour can't serve any more waits for the next one, and nothing is asked for on their behalf."""
        turn = self.turn
        if turn.hour_end is None:
            return
        for waiter in tuple(self.line.choosy.values()):
            if not suits(waiter.lease, turn.hour_end, turn.ends_at, now):
                self.line.step_aside(waiter)

    def sort_out(self, now: float) -> None:
        """What must not be handed out any more leaves; what is idle goes to those who wait, if it suffices."""
        for slot in self.slots:
            slot.closes_at, slot.ends_at = self.turn.bounds(now, slot.hour_end)
            slot.stale = now >= slot.closes_at
        idle, self.idle = self.idle, []
        for slot in idle:
            if self.closed or slot.stale:
                slot.state = _LEAVING
            else:
                self._offer(slot, now)

    def leaving(self) -> list[Slot]:
        """What is to be given back now."""
        leaving = [slot for slot in self.slots if slot.state is _LEAVING]
        for slot in leaving:
            slot.state = _GIVING_BACK
        return leaving

    def nothing_comes_back(self, now: float) -> bool:
        """Whether no slot is idle or will come back to be used again in this hour."""
        return not any(
            slot.state is _IDLE
            or (slot.state is _OUT and now < slot.closes_at and slot.uses != self._max_uses)
            for slot in self.slots
        )

    def fresh(self, now: float) -> int:
        """How many slots of this hour there are, idle or checked out."""
        return sum(slot.state in (_IDLE, _OUT) and now < slot.closes_at for slot in self.slots)

    def count(self, *states: SlotState) -> int:
        """How many slots are in one of these states."""
        return sum(slot.state in states for slot in self.slots)


def suits(lease: PooledLease, hour_end: float, ends_at: float, now: float) -> bool:
    """Whether an hour is what `lease` wants: it ends at `hour_end`, and certainly not before `ends_at`."""
    return now + lease._min_remaining <= ends_at and hour_end > lease._later_than
