"""Where the hours turn on the service's clock: in a time zone, or shortened for tests. Pure arithmetic.

An hour is the time between two turns. In a time zone a turn is an instant at which local clocks show a full hour, or
at which a change of the offset makes them skip one. When they go back by half an hour, as on Lord Howe Island, the
hour that is shown twice in part is one long hour: an AppID used in it stays used until it ends.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

_HOUR = 3600


class Hour(NamedTuple):
    """One hour: from `start` to just before `end`, in milliseconds since the Unix epoch."""

    start: int
    end: int


class Hours(Protocol):
    """Maps a moment to its hour."""

    def at(self, moment_ms: int) -> Hour: ...


def make_hours(timezone: str, hour_seconds: int | None = None) -> Hours:
    """Hours of `hour_seconds` from the epoch on where given, otherwise the hours of the IANA zone `timezone`."""
    if hour_seconds is not None:
        return ShortHours(hour_seconds)
    return ZoneHours(ZoneInfo(timezone))


class ShortHours:
    """Hours of any length, aligned to the epoch."""

    def __init__(self, seconds: int) -> None:
        self._length = seconds * 1000

    def at(self, moment_ms: int) -> Hour:
        """The hour that holds `moment_ms`."""
        start = moment_ms - moment_ms % self._length
        return Hour(start, start + self._length)


class ZoneHours:
    """The hours of a time zone. Remembers the last hour asked for, since nearly every question is about now."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._last = Hour(0, 0)

    def at(self, moment_ms: int) -> Hour:
        """The hour that holds `moment_ms`."""
        last = self._last
        if last.start <= moment_ms < last.end:
            return last
        second = moment_ms // 1000
        # Answered from the local name: another thread may ask about another hour meanwhile.
        hour = self._last = Hour(self._start(second) * 1000, self._end(second) * 1000)
        return hour

    def _start(self, moment: int) -> int:
        offset = self._offset(moment)
        start = moment - (moment + offset) % _HOUR
        before = self._offset(start)
        if before == offset:
            return start
        change = self._change_between(start, moment)
        if _turns(change, before, offset):
            return change
        # The same hour began before the offset changed, and counts from there.
        last = change - 1
        return last - (last + before) % _HOUR

    def _end(self, moment: int) -> int:
        offset = self._offset(moment)
        end = moment - (moment + offset) % _HOUR + _HOUR
        after = self._offset(end)
        if after == offset:
            return end
        change = self._change_between(moment, end)
        if _turns(change, offset, after):
            return change
        return change - (change + after) % _HOUR + _HOUR

    def _offset(self, moment: int) -> int:
        # Not datetime.fromtimestamp: it refuses moments that Windows' C library doesn't know.
        local = (_EPOCH + timedelta(seconds=moment)).astimezone(self._zone)
        offset = local.utcoffset()
        assert offset is not None  # the zone of an aware datetime always has one
        return offset // timedelta(seconds=1)

    def _change_between(self, low: int, high: int) -> int:
        """The first second of the new offset, given that the offset at `low` is not that at `high`."""
        old = self._offset(low)
        while high - low > 1:
            middle = (low + high) // 2
            if self._offset(middle) == old:
                low = middle
            else:
                high = middle
        return high


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _turns(change: int, before: int, after: int) -> bool:
    """Whether the change of the offset at `change` is also a turn of the hour."""
    if (change + after) % _HOUR == 0:
        return True
    return (change - 1 + before) // _HOUR != (change + after) // _HOUR
