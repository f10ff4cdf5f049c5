"""What the log says of a wait for an AppID: never silent, and not the same thing twice."""

from __future__ import annotations

import logging

from ..runtime.time import clock_time, clock_time_after
from ..text import WAITING_LOGGER, get_logger

LONG_WAIT = 10.0
"""A wait that takes more seconds than this in all is a warning."""

logger = get_logger(WAITING_LOGGER)


class WaitLog:
    """The log of one acquire or checkout.

    A line is a warning if the wait takes more than `LONG_WAIT` seconds in all, otherwise an info.
    What was said already is said again only as a detail (`DEBUG`).
    """

    def __init__(self, product_name: str) -> None:
        self._product_name = product_name
        self._said: tuple[bool, str, int | None] | None = None

    def until(self, waited: float, seconds: float, reason: str, available_at: float) -> None:
        """Nothing can be free for so many seconds: until `available_at` on the service's clock."""
        logger.log(
            self._level(waited + seconds, reason, available_at),
            "waiting %.0f s for an AppID of %s, until %s: %s",
            max(1.0, seconds),
            self._product_name,
            clock_time(available_at),
            reason,
        )

    def next_try(self, waited: float, seconds: float, reason: str) -> None:
        """It is not known when one can be free; the service is asked again in so many seconds."""
        logger.log(
            self._level(waited + seconds, reason, None),
            "waiting for an AppID of %s, next try in %.1f s, at %s: %s",
            self._product_name,
            seconds,
            clock_time_after(seconds),
            reason,
        )

    def no_end(self, waited: float, reason: str, left: float | None) -> None:
        """It is not known when one can be free. The wait is given up in `left` seconds, if ever."""
        end = "without a bound"
        if left is not None:
            end = f"for at most {left:.0f} s more, until {clock_time_after(left)}"
        logger.log(
            self._level(waited, reason, None),
            "waiting for an AppID of %s for %.0f s by now, %s: %s",
            self._product_name,
            waited,
            end,
            reason,
        )

    def _level(self, total: float, reason: str, available_at: float | None) -> int:
        is_long = total >= LONG_WAIT
        saying = (is_long, reason, None if available_at is None else round(available_at))
        if saying == self._said:
            return logging.DEBUG
        self._said = saying
        return logging.WARNING if is_long else logging.INFO
