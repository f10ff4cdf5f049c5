"""What a pool decides at the turn of the hour: what it closes before, and what it opens after.

Before the turn the slots of the hour become stale, and the idle ones are retired: none is burned.
After it, what was held over the turn is counted as burned, postponed waiters come back, and as
many AppIDs are wanted as were checked out at once in the hour before. *When* an hour closes and
opens is computed in `hour.py`. A part of the pool's plan: no I/O, and guarded by the plan's lock.
"""

from __future__ import annotations

from ..wire.clock import ServerClock
from .decision import Decision
from .demand import Demand
from .hour import HourWindow
from .model import Figures, PoolOptions
from .queue import WaitingQueue
from .slots import Slots

OLD_TIME = 30.0
"""The service's time is asked for before a turn if it was learnt more than these seconds ago.

The clocks drift apart meanwhile, and the pool would begin the next hour later than it could.
"""


class HourTurn:
    """The turns of one pool's hours.

    Attributes:
        refill_to: how many AppIDs to hold in place of those of the hour before; 0 once the pool
            holds so many, or the service has no more.
    """

    def __init__(
        self,
        options: PoolOptions,
        clock: ServerClock,
        hour: HourWindow,
        queue: WaitingQueue,
        slots: Slots,
        demand: Demand,
        figures: Figures,
    ) -> None:
        self.refill_to = 0
        self._options = options
        self._clock = clock
        self._hour = hour
        self._queue = queue
        self._slots = slots
        self._demand = demand
        self._figures = figures
        # Each of them is the end of an hour, to ask once in that hour: for the service's hours
        # (if its grants don't tell them), and for its time, before the turn.
        self._asked_for_hours_of: float | None = None
        self._asked_for_time_of: float | None = None

    def advance(self, now: float) -> None:
        """It is `now`: open the hour if another one has begun, close it if it ends soon."""
        hour = self._hour
        hour_end = hour.hour_end
        turned = hour.refresh(now)
        if turned:
            self._open(turned)
        elif hour.hour_end != hour_end:
            self._hours_moved()
        self._postpone_unsuited(now)
        self._close(now)

    def _close(self, now: float) -> None:
        """Mark what must not be handed out in this hour any more; retire what of it is idle.

        A stale slot that is checked out is left to its caller, and released when it returns.
        """
        for slot in self._slots:
            slot.closes_at, slot.ends_at = self._hour.bounds(now, slot.hour_end)
            slot.stale = now >= slot.closes_at
        self._slots.retire_or_offer_idle(now)

    def _open(self, turned: int) -> None:
        """`turned` hours have turned: count what they burned, and begin the present one.

        As many AppIDs are acquired again as were checked out at once in the hour before. A pool
        that was idle for an hour acquires none, nor does one that slept for several hours.
        """
        hour_end = self._hour.hour_end
        assert hour_end is not None
        self._figures.burned += turned * self._slots.count_held_over(hour_end)
        peak = self._slots.begin_hour(hour_end)
        self.refill_to = min(peak, self._options.max_size) if turned == 1 else 0
        self._demand.exhausted_until = None
        self._queue.readmit()

    def _hours_moved(self) -> None:
        """The service's hours end elsewhere than was thought: a zone shifted, or a clock was set.

        This hour may be long enough now for waiters that were postponed.
        """
        for slot in self._slots:
            if slot.claim.grant is not None:
                granted = slot.claim.grant.start_time / 1000
                slot.hour_end = self._hour.end_of(granted, slot.hour_end)
        self._queue.readmit()

    def _postpone_unsuited(self, now: float) -> None:
        """Postpone the waiters that this hour can't serve: nothing is acquired for them in it."""
        hour = self._hour
        if hour.hour_end is None:
            return
        for waiter in tuple(self._queue.constrained.values()):
            if not waiter.accepts(hour.hour_end, hour.ends_at, now):
                self._queue.postpone(waiter)

    # --- what the plan asks

    def count_to_refill(self, now: float) -> int:
        """How many AppIDs to acquire though no caller waits for them; not positive if none.

        They are for `min_size`, and in place of those of the hour before.
        """
        if not (self._options.min_size or self.refill_to) or not self._demand.may_fill(now):
            return 0
        usable = self._slots.count_usable(now)
        if usable >= self.refill_to:
            self.refill_to = 0
        return max(self._options.min_size, self.refill_to) - usable

    def count_needed_after(self, now: float) -> int:
        """How many AppIDs the pool needs as soon as the hour has turned, as far as it knows now."""
        if self._hour.hour_end is None or self._slots.closed:
            return 0
        if now >= self._hour.closes_at:
            needed = max(len(self._queue), self._options.min_size, self._slots.peak)
        elif self._demand.exhausted_until is not None:
            needed = len(self._queue)
        else:
            needed = self._queue.postponed
        return min(needed, self._options.max_size)

    @property
    def is_awaited(self) -> bool:
        """Whether AppIDs are wanted, or were in this hour: the next turn matters to the pool."""
        return bool(
            len(self._queue) or self._slots.peak or self.refill_to or self._options.min_size
        )

    def decide_time_calls(self, decision: Decision, now: float) -> None:
        """Ask for the hours once an hour if grants don't tell them, for the time before a turn."""
        demand, hour = self._demand, self._hour
        if hour.hour_end is None or demand.in_flight or demand.time_call_in_flight:
            return
        if now < hour.closes_at:
            # Zones shift, some by half an hour, and an hour that was only computed may be wrong.
            asked = self._asked_for_hours_of == hour.hour_end
            if len(self._slots) and not asked and not self._clock.hour_known:
                self._asked_for_hours_of = hour.hour_end
                decision.learn_hours = demand.time_call_in_flight = True
        elif self._asked_for_time_of != hour.hour_end and self.is_awaited:
            if self._clock.age > OLD_TIME and not decision.release:
                self._asked_for_time_of = hour.hour_end
                decision.read_clock = demand.time_call_in_flight = True
