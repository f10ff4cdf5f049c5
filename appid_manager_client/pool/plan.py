"""What a pool does next: all of its decisions. Those at the turn of the hour stand in `turn.py`.

A state machine without I/O, threads or callbacks. Its input is what happened (a checkout, an
answer of the service) and the time. It decides which waiter is served, what is released, and what
is acquired. `lender.py` and `calls.py` carry that out; a simulation does so on a simulated clock.
"""

from __future__ import annotations

import copy
import threading
from dataclasses import asdict

from ..checks import longer_than_an_hour
from ..errors import InvalidRequest, PoolTimeout
from ..lease.claim import ClaimState
from ..lease.held import LeaseState, lease_in_use
from ..runtime.time import SystemTime
from ..wire.clock import ServerClock
from ..wire.models import Wait
from .decision import Decision
from .demand import Demand
from .hour import HourWindow
from .model import AcquireResult, Figures, PoolOptions, PoolStats, SlotState, Ticket
from .outlook import Outlook
from .places import PlacesInLine, Wish
from .queue import PoolErrors, Waiter, WaitingQueue
from .slots import Slots
from .turn import HourTurn

_SHORTEST_PAUSE = 0.001
"""Seconds. The rounding of times must not make the worker run one round after another."""


class PoolPlan:
    """The state of one pool, and what follows from it.

    Attributes:
        lock: guards the plan, its parts, and the states of its tickets. Who calls a method of
            them holds it.
        slots, queue, demand, hour, places, turn, outlook: the parts.
    """

    def __init__(
        self,
        product_name: str,
        service: str,
        options: PoolOptions,
        clock: ServerClock,
        system: SystemTime,
    ) -> None:
        self.product_name = product_name
        self._options = options
        self._clock = clock
        self._system = system
        self._errors = PoolErrors(product_name, service, clock)
        self._start_afresh()

    def _start_afresh(self) -> None:
        self.lock = threading.Lock()
        self.queue = WaitingQueue()
        self.demand = Demand(self._clock, self._system)
        self.hour = HourWindow(self._clock, self._system, self._options.renew_margin)
        self.places = PlacesInLine(self._clock, self._system)
        self._figures = Figures()
        self.slots = Slots(self._options, self.hour, self.queue, self._figures, self._system)
        self.turn = HourTurn(
            self._options,
            self._clock,
            self.hour,
            self.queue,
            self.slots,
            self.demand,
            self._figures,
        )
        self.outlook = Outlook(self.hour, self.demand, self.slots, self.places)
        self._decision = Decision()
        # The latest situation in which waiters were judged, and the number of the last one of
        # them; see _fail_hopeless.
        self._judged: tuple[object, int] = (None, 0)

    def after_fork_in_child(self) -> None:
        """Start with an empty pool: slots, waiters and the lock's holder are the parent's."""
        closed = self.slots.closed
        for slot in self.slots:
            slot.state = SlotState.REMOVED
        self._start_afresh()
        self.slots.closed = closed

    # --- checkouts

    def enqueue(self, waiter: Waiter, now: float) -> None:
        """Queue a waiter.

        Raises:
            LeaseInUse: its lease holds, or waits for, an AppID already.
            PoolClosed: the pool was closed.
            PoolTimeout: its deadline has passed.
            ValueError: its `min_remaining` is as long as an hour of the service, or longer.
        """
        ticket = waiter.ticket
        if ticket.state in (LeaseState.HELD, LeaseState.ACQUIRING):
            raise lease_in_use(self.product_name, ticket.state)
        if self.slots.closed:
            raise self._errors.closed()
        if (error := self._too_long(ticket)) is not None:
            raise error
        if waiter.deadline is not None and waiter.deadline <= now:
            raise self.timed_out(waiter, now)
        self.queue.add(waiter)
        ticket.state = LeaseState.ACQUIRING
        if (
            self.queue.constrained
            or self.slots.idle
            or now >= self.hour.closes_at
            or len(self.slots) + self.demand.in_flight < self._options.max_size
        ):
            self.slots.needs_decision = True

    def stop_waiting(self, waiter: Waiter) -> None:
        """The caller stopped waiting: it was cancelled, interrupted, or its deadline passed.

        Does nothing if the waiter was never queued.
        """
        if not waiter.number:
            return  # its ticket may be in use by another caller
        self.queue.remove(waiter)
        if waiter.ticket.state is LeaseState.ACQUIRING:
            waiter.ticket.state = LeaseState.RELEASED

    def timed_out(self, waiter: Waiter, now: float) -> PoolTimeout:
        """The error for a waiter whose deadline passed."""
        return self._timeout(waiter, now, self.outlook.nothing_before(waiter, now))

    # --- what the service answered

    def acquire_ended(self, result: AcquireResult, now: float) -> None:
        """An acquire was answered, failed, or was not sent after all."""
        self.slots.needs_decision = True
        self.demand.in_flight -= 1
        claim, error, wish = result.claim, result.error, result.wish
        if result.has_line is not None:
            self.places.service_has_line = result.has_line
        if wish is not None:
            self.places.returned(wish)
        if result.hour_end is not None:
            if wish is not None:
                self.turn.advance(now)  # it may bring the first word of the turn
            self.demand.granted()
            self._figures.acquired += 1
            self._figures.renewals += bool(self.turn.refill_to)
            # Otherwise it was lost, or the client was closed, before the answer got here.
            if claim is not None and claim.state is ClaimState.HELD:
                self.slots.add(claim, result.hour_end, now)
            return
        if wish is not None:
            self._wish_ended(wish, result, now)
            return
        if result.wait is not None:
            self._exhausted(result.wait, result.sent, now)
        if error is not None and self._call_failed(error, now) and claim is not None:
            self.demand.unanswered.append(claim)
        elif claim is not None:
            self._decision.give_up.append(claim)

    def _wish_ended(self, wish: Wish, result: AcquireResult, now: float) -> None:
        """A wish that stands in line got nothing."""
        if wish.dropped:
            result.error = None  # it was given up while it was on the wire
        elif result.wait is not None:
            if self.places.answered(wish, result.wait, now):
                self._exhausted(result.wait, result.sent, now)
            else:
                self.demand.succeeded()
        elif isinstance(result.error, InvalidRequest):
            self.places.refuse(wish, self.hour.hour_end)
        elif result.error is None:
            self.places.had_no_room(wish, now)
        elif self._call_failed(result.error, now):
            self.places.failed(wish, self.demand.not_before, now)
        else:
            wish.dropped = True
        if wish.dropped and wish.claim is not None:
            self._decision.give_up.append(wish.claim)

    def _exhausted(self, wait: Wait, sent: float, now: float) -> None:
        if self.demand.exhausted(wait, sent, now):
            self.turn.refill_to = 0

    def time_call_ended(self, error: Exception | None, now: float) -> None:
        """A call for the service's time or hours has ended."""
        self.slots.needs_decision = True
        self.demand.time_call_in_flight = False
        if error is None:
            self.hour.learnt = True
            self.demand.succeeded()
        else:
            self._call_failed(error, now)

    def _call_failed(self, error: Exception, now: float) -> bool:
        """Fail all waiters if waiting can't help. Returns whether it can."""
        if self.demand.failed(error, now):
            return True
        for waiter in list(self.queue):
            self._fail(waiter, copy.copy(error))
        return False

    # --- decisions

    def decide(self, now: float) -> Decision:
        """Decide about everything that is due now."""
        slots = self.slots
        slots.needs_decision = False
        self.turn.advance(now)
        self._fail_hopeless(now)
        missing = self._missing(now)
        self._decide_places(missing, now)
        self._decide_acquires(missing, now)
        self._decision.release = slots.begin_releases()
        if not slots.closed:
            self.turn.decide_time_calls(self._decision, now)
        decision, self._decision = self._decision, Decision()
        decision.notify += slots.served
        slots.served.clear()
        decision.pause = self._pause(now)
        return decision

    def may_acquire(self, now: float) -> bool:
        """Whether an acquire that was decided may still be sent: not if the hour is closing."""
        return not self.slots.closed and now < self.hour.closes_at

    def close(self) -> None:
        """Hand out no more leases.

        All waiters get an error. Idle slots are retired, and released at the next decision; the
        others when they are given back.
        """
        self.slots.close()
        for waiter in list(self.queue):
            self._fail(waiter, self._errors.closed())

    @property
    def busy(self) -> bool:
        """Whether calls are on the wire, or have to be sent for what is idle or unanswered."""
        releases = self.slots.count(SlotState.IDLE, SlotState.RETIRED, SlotState.RELEASING)
        return releases > 0 or self.demand.busy

    def _fail_hopeless(self, now: float) -> None:
        """Fail the waiters for whom no AppID can come in time.

        Each waiter is judged once in each situation.
        """
        hour = self.hour
        if hour.hour_end is None or not len(self.queue):
            return
        supply = self.demand.exhausted_until, self.outlook.nothing_comes(now)
        situation = (hour.hour_end, now >= hour.closes_at, supply)
        last, arrivals = self._judged
        known = arrivals if last == situation else 0
        self._judged = (situation, self.queue.arrivals)
        for waiter in [waiter for waiter in self.queue if waiter.number > known]:
            if (error := self._too_long(waiter.ticket)) is not None:
                self._fail(waiter, error)
                continue
            until = self.outlook.nothing_before(waiter, now)
            if until is None or waiter.deadline is None:
                continue
            if now + self._clock.seconds_until(until) > waiter.deadline:
                self._fail(waiter, self._timeout(waiter, now, until))

    def _missing(self, now: float) -> int:
        """How many AppIDs are missing in this hour; not positive if none."""
        if self.slots.closed:
            return 0
        return max(len(self.queue.waiting), self.turn.count_to_refill(now))

    def _decide_places(self, missing: int, now: float) -> None:
        """Stand in line for what the next hour has to bring, held over the turn when it is time.

        Who is held over the turn comes before those who ask after it. Nothing is held while slots
        of this hour may still be checked out: they could be held over the turn, too.
        """
        places, demand, hour = self.places, self.demand, self.hour
        needed = 0
        if places.may_stand(exhausted=demand.exhausted_until is not None):
            needed = self.turn.count_needed_after(now)
        self._decision.give_up += places.drop_surplus(max(needed, missing))
        stand: list[Wish] = []
        if needed and hour.hour_end is not None and now >= demand.not_before:
            stand += places.take_draws(needed, hour.hour_end, now, demand.most_in_flight)
        if needed and now >= hour.closes_at:
            stand += places.take_holds(now, self._room - len(stand))
        demand.in_flight += len(stand)
        self._decision.stand += stand

    def _decide_acquires(self, missing: int, now: float) -> None:
        """Acquire what is missing.

        Unanswered acquires are given up if nobody needs them, or if what they got would be held
        over the turn of the hour.
        """
        demand, decision = self.demand, self._decision
        if self.hour.hour_end is None and not self.slots.closed:
            if missing and not demand.time_call_in_flight and now >= self._acquire_at:
                decision.learn_hours = demand.time_call_in_flight = True
        elif not missing or not self.may_acquire(now):
            decision.give_up += demand.unanswered
            demand.unanswered.clear()
        elif now >= self._acquire_at:
            for _ in range(min(missing, demand.most_in_flight) - demand.in_flight):
                if self._room <= 0:
                    break
                demand.in_flight += 1
                if (wish := self.places.take_first(now)) is not None:
                    decision.stand.append(wish)
                else:
                    again = demand.unanswered.pop() if demand.unanswered else None
                    decision.acquire.append(again)

    @property
    def _room(self) -> int:
        return self._options.max_size - len(self.slots) - self.demand.in_flight

    @property
    def _acquire_at(self) -> float:
        return max(self.hour.acquire_from, self.demand.acquire_at(len(self.queue) > 0))

    def _pause(self, now: float) -> float | None:
        """Seconds until something is due by itself."""
        demand, hour = self.demand, self.hour
        if self.slots.closed or not (len(self.slots) or demand.unanswered or self.turn.is_awaited):
            return None
        due = []
        if hour.hour_end is not None:
            due.append(hour.closes_at if now < hour.closes_at else hour.opens_at)
        if not (demand.time_call_in_flight or demand.in_flight) and self._room > 0:
            if hour.hour_end is None or now < hour.closes_at:
                acquire_at = self._acquire_at
                if acquire_at > now:
                    due.append(acquire_at)
        if self.places.service_has_line and demand.not_before > now:
            due.append(demand.not_before)
        in_line = self.places.next_due(now, hour.closes_at)
        # Where there is no room, or a call is on the wire, its end is waited for.
        if in_line is not None and (in_line > now or (self._room > 0 and not demand.in_flight)):
            due.append(in_line)
        return max(_SHORTEST_PAUSE, min(due) - now) if due else None

    # --- errors and statistics

    def _fail(self, waiter: Waiter, error: BaseException) -> None:
        self.queue.remove(waiter)
        waiter.error = error
        waiter.ticket.state = LeaseState.RELEASED
        self._decision.notify.append(waiter)

    def _too_long(self, ticket: Ticket) -> ValueError | None:
        """The error for a ticket that no hour is long enough for, or `None`."""
        length = self._clock.hour_length
        if not ticket.min_remaining or ticket.min_remaining < length:
            return None
        return longer_than_an_hour(ticket.min_remaining, length)

    def _timeout(self, waiter: Waiter, now: float, available_at: float | None) -> PoolTimeout:
        self._figures.timeouts += 1
        out, waiting = self.slots.count(SlotState.CHECKED_OUT), len(self.queue)
        figures = (
            f"{out} of at most {self._options.max_size} are checked out, "
            f"{waiting} {'caller is' if waiting == 1 else 'callers are'} waiting"
        )
        return self._errors.timeout(
            now - waiter.since, figures, available_at, self.demand.last_error
        )

    def stats(self, now: float, *, maintained: bool) -> PoolStats:
        """The statistics at this time."""
        slots, demand, hour = self.slots, self.demand, self.hour
        return PoolStats(
            product_name=self.product_name,
            min_size=self._options.min_size,
            max_size=self._options.max_size,
            size=len(slots),
            idle=slots.count(SlotState.IDLE),
            checked_out=slots.count(SlotState.CHECKED_OUT),
            giving_back=slots.count(SlotState.RETIRED, SlotState.RELEASING),
            asking=demand.in_flight,
            waiting=len(self.queue),
            checkouts=slots.checkouts,
            errors=demand.errors,
            last_error=None if demand.last_error is None else str(demand.last_error),
            exhausted=demand.exhausted_until is not None,
            next_turn=None if hour.hour_end is None else max(0.0, hour.opens_at - now),
            maintained=maintained,
            closed=slots.closed,
            **asdict(self._figures),
        )
