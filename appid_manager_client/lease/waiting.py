"""When an acquire is tried again: a plan without I/O.

It is told what happened, and returns how long to pause, or raises. Apart from `init`, nothing
becomes free in the middle of an hour (wire contract, "The rule of the hour"). So the plan polls at
`retry_interval`, as documented, and also wakes exactly when the service's hour turns. Where the
service has a line, it takes a place, and is held over the turn instead (`place.py`).
"""

from __future__ import annotations

from datetime import datetime, timezone

from ..checks import longer_than_an_hour
from ..errors import InvalidRequest, NoAppIdAvailable, TransportError
from ..runtime.time import SystemTime
from ..wire.clock import ServerClock
from ..wire.models import Asking, Place, Wait
from ..wire.retry import MAX_RETRY_AFTER, MIN_PAUSE, TURN_JITTER, backoff, describe
from .options import WaitOptions
from .place import LATE_JITTER, PlaceInLine, in_words

_LEAST_RETRY_AFTER = 0.5
"""The shortest `retry_after` of a 202 that is followed, in seconds.

A field service cuts its own to whole seconds, and so says 0 just before the hour turns.
"""

_ON_TIME = 1.0
"""Seconds by which a task may come back early, and waits: queues count whole seconds."""

_LAST_TRY_MARGIN = 0.5
"""Seconds before the deadline at which the last try is sent, so that it has time for an answer."""


class AcquirePlan:
    """The plan of one acquire: counts its tries, knows its deadline, and decides each pause."""

    def __init__(
        self,
        product_name: str,
        service: str,
        options: WaitOptions,
        clock: ServerClock,
        system: SystemTime,
    ) -> None:
        self.options = options
        self._product_name = product_name
        self._service = service
        self._clock = clock
        self._system = system
        self._started = system.monotonic()
        self._asked = self._started
        self._began_last = self._started
        self._tries = 0
        self._failures = 0
        self._draws = False  # the next request draws a ticket
        self._asked_for_place = False  # by the last request
        self._free = False  # whether the next try doesn't count
        self.place = PlaceInLine(clock, system, options.ticket)
        self.reason = ""
        """What the pause that was decided last is for, in words."""
        self.available_at: float | None = None
        """The time on the service's clock that it waits for (epoch seconds); `None`: unknown."""

    def begin_try(self) -> Asking:
        """Count a try that is about to be sent, and note the time.

        Returns what it asks of the line: to draw a ticket, to be held over the turn, or to look.
        """
        self._asked = self._system.monotonic()
        wait = self._wait_in_line()
        free = self._free or self._draws or (wait is None and self._begins_later)
        if wait and self.options.force:
            # It is held all the time, and each time counts that would be the time of a poll.
            free = free or self._asked - self._began_last < self.options.retry_interval
        if not free:
            self._tries += 1
            self._began_last = self._asked
        self._free = self._draws = False
        self._asked_for_place = wait is not None
        options = self.options
        return Asking(wait, self.place.ticket, options.min_remaining, options.not_before)

    def _wait_in_line(self) -> float | None:
        """How long the service may hold the next request; `None`: the request only looks."""
        if self._draws or self._comes_back:
            return 0.0
        forced = self.options.force
        if self.place.seconds_to_hold(forced=forced) != 0:
            return None
        wait = self.place.hold_for(forced=forced)
        left = None if self.may_come_back else self._left_in_line()
        return wait if left is None else max(0.0, min(wait, left - MIN_PAUSE))

    def has_no_room(self) -> float:
        """Seconds to pause where this process holds as many requests as it may: it comes late."""
        until = 0.0 if self.available_at is None else self._clock.seconds_until(self.available_at)
        return max(MIN_PAUSE, until + self._system.uniform(0, LATE_JITTER))

    def keeps_place(self, error: BaseException) -> bool:
        """Whether the place in line stays when the wait ends with this error.

        Who may come back has its ticket, and can do so after a failure of the service, too.
        """
        if isinstance(error, NoAppIdAvailable):
            return self.options.keep_place or self.may_come_back
        return self.may_come_back and isinstance(error, TransportError)

    @property
    def may_come_back(self) -> bool:
        """Whether whoever waits can come back instead of waiting here: a task of a queue."""
        return self.options.come_back is not None

    @property
    def _comes_back(self) -> bool:
        """Whether the next request is the first of one who came back: it shows that it is there."""
        return self.may_come_back and self.place.ticket is not None and self.place.found is None

    @property
    def patience(self) -> float | None:
        """Seconds until the deadline, for a call on the wire.

        `None` where there is no deadline. So it is without a timeout, and with a timeout of 0: that
        bounds the number of tries, and not the time of the one try.
        """
        if not self.options.timeout or (self.may_come_back and self.place.is_time):
            return None
        return max(0.0, self._started + self.options.timeout - self._system.monotonic())

    @property
    def out_of_tries(self) -> bool:
        """Whether no try is left."""
        return self._tries > self.options.max_retries

    @property
    def needs_hours(self) -> bool:
        """Whether the service's hours have to be known before the first try."""
        options = self.options
        return bool(options.min_remaining or options.come_back) or options.not_before is not None

    def until_fresh_hour(self, hour_end: float | None, *, has_line: bool = False) -> float | None:
        """Seconds to wait before an AppID is of use; `None` if it is now.

        That is until `not_before`, and until the next hour if less than `min_remaining` is left
        of this one. A service that has a line is asked for a place before `not_before`.

        Raises:
            ValueError: `min_remaining` is as long as an hour.
            NoAppIdAvailable: the next hour starts after the deadline.
        """
        come_back = self.options.come_back
        if come_back and self.place.ticket:
            early = self._clock.seconds_until(come_back)
            # What is further away than an hour is no moment that this service has told.
            if _ON_TIME < early <= self._clock.hour_length:
                raise self._to_come_back("it is not its turn yet", hour_end, come_back)
            if 0 < early <= _ON_TIME:
                self.reason, self.available_at = "it is not its turn yet", hour_end
                return early
        not_before = self.options.not_before
        if not_before is not None and self._clock.seconds_until(not_before) > 0:
            pause = self._pause_until(not_before, "the hour has not turned yet")
            if not has_line or self.place.refused:
                return pause
            self._draws = self.place.found is None
            return None
        needed = self.options.min_remaining
        if not needed or hour_end is None:
            return None
        if needed >= self._clock.hour_length:
            raise longer_than_an_hour(needed, self._clock.hour_length)
        if self._clock.seconds_before(hour_end) >= needed:
            return None
        return self._pause_until(hour_end, f"less than {needed:g} s are left of this hour")

    def after_wait(self, wait: Wait) -> float:
        """Seconds to pause after a 202.

        Raises:
            NoAppIdAvailable: no try is left, or nothing can be free before the deadline.
        """
        self._failures = 0
        available_at = self._available_at(wait)
        used_up = wait.reason == "no_available"
        why = f"every AppID {'is used up for this hour' if used_up else 'is in use'}"
        if wait.paused:
            why = "the product is paused"
        why += in_words(wait.line)
        if self.out_of_tries:
            raise self._no_appid(why, available_at)
        self.place.note(wait.line, early=self.may_come_back)
        if self.may_come_back and self.place.found is not None:
            return self._until_held(self.place.found, why, available_at)
        if self._can_draw(wait, available_at):
            self._draws = True
            self.reason, self.available_at = why, available_at
            return 0.0
        until_hold = self.place.seconds_to_hold(forced=self.options.force)
        if available_at is not None:
            until_turn = self._pause_until(available_at, why)
            if until_hold is not None:
                until_turn = until_hold or self._again_at_once(available_at)
            if self._begins_later:
                return max(MIN_PAUSE, until_turn)
            return max(MIN_PAUSE, min(self.options.retry_interval, until_turn))
        if until_hold is not None:
            self.reason, self.available_at = why, None
            return MIN_PAUSE
        pause = self.options.retry_interval
        if not self.options.force:
            pause = min(pause, max(_LEAST_RETRY_AFTER, min(wait.retry_after, MAX_RETRY_AFTER)))
        shortened = self._before_deadline(max(MIN_PAUSE, pause))
        if shortened is None:
            raise self._no_appid(why, available_at)
        self.reason, self.available_at = why, None
        return shortened

    def after_error(self, error: TransportError) -> float:
        """Seconds to back off after a failure that another try may solve.

        Raises:
            TransportError: `error` itself, or one like it that says what was tried.
        """
        self._failures += 1
        pause: float | None = None
        if error.retryable and self.place.is_time:
            # The turn is near. A service that restarts is back soon, whatever it says.
            self._free = True
            pause = self._before_deadline(self.place.soon())
        elif error.retryable and not self.out_of_tries:
            pause = backoff(self._system, self._failures, self.options.retry_interval)
            if error.retry_after is not None:
                pause = max(pause, min(error.retry_after, MAX_RETRY_AFTER))
            pause = self._before_deadline(pause)
        if pause is None:
            raise describe(error, self._tries, self.waited)
        self.reason, self.available_at = str(error), None
        return pause

    def is_refused_place(self, error: InvalidRequest) -> bool:
        """Whether the line takes nobody more in, or has no place for so late an hour."""
        too_late = error.code == "invalid_request" and self._begins_later
        return error.code == "too_many_waiting" or (too_late and not self.place.refused)

    def out_of_time(self) -> NoAppIdAvailable:
        """The error for a deadline that came while a try was on the wire."""
        return self._no_appid("the service has not answered yet", None)

    @property
    def waited(self) -> float:
        """Seconds since the call began."""
        return self._system.monotonic() - self._started

    def _can_draw(self, wait: Wait, available_at: float | None) -> bool:
        """Whether to take a place in line: not for a time that this wait doesn't reach."""
        if wait.line is not None or wait.server_time_ms is None or self.place.refused:
            return False
        if self._asked_for_place:
            self.place.refuse()  # an extended service that has no line
            return False
        left = None if self.may_come_back else self._left_in_line()
        if left is not None and available_at is not None:
            if self._clock.seconds_until(available_at) > left:
                return False
        return True

    def _until_held(self, found: Place, why: str, available_at: float | None) -> float:
        """Seconds until one who may come back is held over the turn: soon, and only if it is due.

        Raises:
            NoAppIdAvailable: it is not worth it to wait here.
        """
        left, seconds = self._left(), self._clock.seconds_until(self.place.come_at)
        if seconds > 0 and (left is None or seconds > left):
            raise self._to_come_back(why, available_at, self.place.come_at)
        if not found.due:
            raise self._to_come_back(why, available_at, found.until_ms / 1000)
        self.reason, self.available_at = why, available_at
        return max(MIN_PAUSE, seconds)

    def _to_come_back(
        self, why: str, available_at: float | None, moment: float
    ) -> NoAppIdAvailable:
        error = self._no_appid(why, available_at)
        error.come_back_at = moment
        error.retry_after = max(0.0, self._clock.seconds_until(moment))
        return error

    def _again_at_once(self, available_at: float) -> float:
        """Seconds until the next request of one who is due to be held, and was answered."""
        return self.place.soon() if self._clock.seconds_until(available_at) > 0 else MIN_PAUSE

    def _left_in_line(self) -> float | None:
        """Seconds until the wait ends: at the deadline, or when it would have polled for long."""
        left = self._left()
        if self._begins_later:
            return left
        reach = self.options.max_retries * self.options.retry_interval
        reach -= self._system.monotonic() - self._started
        return reach if left is None else min(left, reach)

    @property
    def _begins_later(self) -> bool:
        """Whether `not_before` is still to come: no try that only looks counts, or is of use."""
        not_before = self.options.not_before
        return not_before is not None and self._clock.seconds_until(not_before) > 0

    def _available_at(self, wait: Wait) -> float | None:
        """The earliest time worth waiting for, on the service's clock; `None` if unknown."""
        if self.options.force:
            return None
        if wait.available_at_ms is not None:
            return wait.available_at_ms / 1000
        # The hour that the try fell into: the hour may have turned since, and the wait is over.
        return self._clock.hour_end_after(self._clock.earliest(self._asked))

    def _pause_until(self, moment: float, why: str) -> float:
        """Seconds until `moment` on the service's clock, never a millisecond early.

        A little jitter is added, so that not all who wait come at once.
        """
        pause = self._clock.seconds_until(moment)
        left = self._left()
        jitter = TURN_JITTER
        if left is not None:
            # A try that has no time for its answer would only burn what it gets.
            if max(pause, MIN_PAUSE) > left - MIN_PAUSE:
                raise self._no_appid(why, moment)
            jitter = min(jitter, (left - pause) / 2)
        self.reason, self.available_at = why, moment
        return max(MIN_PAUSE, pause + self._system.uniform(0, jitter))

    def _before_deadline(self, pause: float) -> float | None:
        """The pause, shortened so that a last try has time; `None` if no try fits any more."""
        left = self._left()
        if left is None or pause <= left - _LAST_TRY_MARGIN:
            return pause
        shortened = left - _LAST_TRY_MARGIN
        return shortened if shortened >= MIN_PAUSE else None

    def _left(self) -> float | None:
        if self.options.timeout is None:
            return None
        return self._started + self.options.timeout - self._system.monotonic()

    def _no_appid(self, why: str, available_at: float | None) -> NoAppIdAvailable:
        tries = "1 try" if self._tries == 1 else f"{self._tries} tries"
        message = (
            f"no AppID of product {self._product_name!r} at {self._service}: {why}; "
            f"gave up after {tries} in {self.waited:.1f} s"
        )
        retry_after, found = None, self.place.found
        if available_at is not None:
            retry_after = max(0.0, self._clock.seconds_until(available_at))
            moment = datetime.fromtimestamp(available_at, timezone.utc)
            message += f"; the next can be free at {moment:%Y-%m-%d %H:%M:%S} UTC"
        return NoAppIdAvailable(
            message,
            service=self._service,
            product_name=self._product_name,
            attempts=self._tries,
            waited=self.waited,
            available_at=available_at,
            retry_after=retry_after,
            place=None if found is None else found.place,
            waiting=None if found is None else found.waiting,
        )
