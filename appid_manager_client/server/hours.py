"""Where the service's hours begin and end: in a time zone, or shortened for tests. No I/O.

In a time zone an hour begins when local clocks show a full hour, and when a change of the offset
makes them skip one. When clocks go back by half an hour, as on Lord Howe Island, the hour that
they show twice in part is one long hour: an AppID that was used in it stays used until it ends.

A *definition* says in one word what the hours are: `zone:UTC`, or `length:60` (seconds). It is
stored with the data.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_HOUR = 3600  # seconds
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Hour(NamedTuple):
    """One hour: from `start` to just before `end`, in milliseconds since the Unix epoch."""

    start: int
    end: int


class Hours(Protocol):
    """Finds the hour of a time."""

    @property
    def definition(self) -> str: ...

    def at(self, time_ms: int) -> Hour: ...


def make_hours(timezone: str, hour_seconds: int | None = None) -> Hours:
    """Hours of the IANA zone `timezone`; with `hour_seconds`, hours of that length from the epoch.

    Raises:
        ZoneInfoNotFoundError: there is no such zone.
    """
    if hour_seconds is not None:
        return ShortHours(hour_seconds)
    return ZoneHours(ZoneInfo(timezone))


def defined_hours(definition: str) -> Hours | None:
    """The hours that a stored definition means; `None` where nobody can tell here.

    That is a zone that this machine doesn't know, or a kind of definition of a later version.
    """
    kind, _, value = definition.partition(":")
    try:
        if kind == "zone":
            return make_hours(value)
        if kind == "length" and int(value) > 0:
            return ShortHours(int(value))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    return None


def same_hours(one: Hours, other: Hours, now: int) -> bool:
    """Return whether two definitions mean the same hours, from the hour of `now` on.

    So zones of one name or of several (`UTC`, `Etc/UTC`), and zones that differ by whole hours
    (`UTC`, `Europe/Berlin`), are the same. Times of day are no part of it, only when hours turn.
    """
    if one.definition == other.definition:
        return True
    # An offset stays for weeks at least, so one look a day finds every difference.
    return all(one.at(now + day * _DAY_MS) == other.at(now + day * _DAY_MS) for day in range(_DAYS))


_DAY_MS = 24 * _HOUR * 1000
_DAYS = 2 * 366  # two years have each change of summer time, in every order


class ShortHours:
    """Hours of any length, counted from the epoch."""

    def __init__(self, seconds: int) -> None:
        self.definition = f"length:{seconds}"
        self._length_ms = seconds * 1000

    def at(self, time_ms: int) -> Hour:
        """Return the hour that contains `time_ms`."""
        start = time_ms - time_ms % self._length_ms
        return Hour(start, start + self._length_ms)


class ZoneHours:
    """The hours of a time zone. The last hour is cached, since most calls ask for the present."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.definition = f"zone:{zone.key}"
        self._zone = zone
        self._last = Hour(0, 0)

    def at(self, time_ms: int) -> Hour:
        """Return the hour that contains `time_ms`."""
        last = self._last
        if last.start <= time_ms < last.end:
            return last
        second = time_ms // 1000
        hour = self._last = Hour(self._start(second) * 1000, self._end(second) * 1000)
        # Not `self._last`: another thread may have asked for another hour meanwhile.
        return hour

    def _start(self, second: int) -> int:
        offset = self._offset(second)
        start = second - (second + offset) % _HOUR
        before = self._offset(start)
        if before == offset:
            return start
        change = self._change_between(start, second)
        if _begins_hour(change, before, offset):
            return change
        # The hour began before the offset changed: count back with the offset of that time.
        last = change - 1
        return last - (last + before) % _HOUR

    def _end(self, second: int) -> int:
        offset = self._offset(second)
        end = second - (second + offset) % _HOUR + _HOUR
        after = self._offset(end)
        if after == offset:
            return end
        change = self._change_between(second, end)
        if _begins_hour(change, offset, after):
            return change
        return change - (change + after) % _HOUR + _HOUR

    def _offset(self, second: int) -> int:
        # Not datetime.fromtimestamp: it refuses times that the C library of Windows doesn't know.
        local = (_EPOCH + timedelta(seconds=second)).astimezone(self._zone)
        offset = local.utcoffset()
        assert offset is not None  # an aware datetime always has an offset
        return offset // timedelta(seconds=1)

    def _change_between(self, low: int, high: int) -> int:
        """Return the first second of the new offset; the offsets at `low` and `high` differ."""
        old = self._offset(low)
        while high - low > 1:
            middle = (low + high) // 2
            if self._offset(middle) == old:
                low = middle
            else:
                high = middle
        return high


def _begins_hour(change: int, before: int, after: int) -> bool:
    """Return whether an hour begins at `change`, where the offset goes from `before` to `after`."""
    if (change + after) % _HOUR == 0:
        return True
    return (change - 1 + before) // _HOUR != (change + after) // _HOUR
