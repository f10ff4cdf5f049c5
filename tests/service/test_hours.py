"""Where hours turn."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appid_manager_client.server.hours import defined_hours, make_hours, same_hours

ZONES = [
    "UTC",
    "Asia/Shanghai",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Europe/Berlin",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
]


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("zone", "time", "start", "end"),
    [
        ("UTC", "2026-03-01T12:34:56", "2026-03-01T12:00", "2026-03-01T13:00"),
        ("Asia/Kolkata", "2026-03-01T12:34:56", "2026-03-01T12:30", "2026-03-01T13:30"),
        ("Asia/Kathmandu", "2026-03-01T12:10:00", "2026-03-01T11:15", "2026-03-01T12:15"),
        # Forward by an hour, and back.
        ("Europe/Berlin", "2026-03-29T01:10:00", "2026-03-29T01:00", "2026-03-29T02:00"),
        ("Europe/Berlin", "2026-10-25T00:59:59", "2026-10-25T00:00", "2026-10-25T01:00"),
        ("Europe/Berlin", "2026-10-25T01:00:00", "2026-10-25T01:00", "2026-10-25T02:00"),
        # Forward by half an hour: local 2:00 becomes 2:30; the hour of two o'clock is half as long.
        ("Australia/Lord_Howe", "2026-10-03T15:29:59", "2026-10-03T14:30", "2026-10-03T15:30"),
        ("Australia/Lord_Howe", "2026-10-03T15:30:00", "2026-10-03T15:30", "2026-10-03T16:00"),
        ("Australia/Lord_Howe", "2026-10-03T16:00:00", "2026-10-03T16:00", "2026-10-03T17:00"),
        # Back by half an hour: local 2:00 becomes 1:30; the hour of one o'clock has 90 minutes.
        ("Australia/Lord_Howe", "2026-04-04T14:30:00", "2026-04-04T14:00", "2026-04-04T15:30"),
        ("Australia/Lord_Howe", "2026-04-04T15:10:00", "2026-04-04T14:00", "2026-04-04T15:30"),
        ("Australia/Lord_Howe", "2026-04-04T15:30:00", "2026-04-04T15:30", "2026-04-04T16:30"),
    ],
)
def test_hours_turn_where_local_clocks_do(zone, time, start, end):
    assert make_hours(zone).at(ms(time)) == (ms(start), ms(end))


CHANGES = ["2026-03-29T01:00", "2026-10-25T01:00", "2026-04-04T15:00", "2026-10-03T15:30"]
times = st.one_of(
    st.integers(ms("1990-01-01T00:00"), ms("2037-01-01T00:00")),
    st.builds(
        int.__add__,
        st.sampled_from([ms(change) for change in CHANGES]),
        st.integers(-7_200_000, 7_200_000),
    ),
)


@given(zone=st.sampled_from(ZONES), time_ms=times, step=st.integers(-7_200_000, 7_200_000))
def test_every_time_has_one_hour_and_hours_don_t_overlap(zone, time_ms, step):
    hours = make_hours(zone)
    hour = hours.at(time_ms)
    assert hour.start <= time_ms < hour.end
    assert 0 < hour.end - hour.start <= 5_400_000
    assert make_hours(zone).at(hour.start) == hour
    assert make_hours(zone).at(hour.end - 1) == hour
    assert make_hours(zone).at(hour.end).start == hour.end
    assert make_hours(zone).at(hour.start - 1).end == hour.start
    # The cached hour doesn't change the answer.
    assert hours.at(time_ms + step) == make_hours(zone).at(time_ms + step)


def test_short_hours_count_from_the_epoch():
    assert make_hours("Asia/Kolkata", 7).at(15_500) == (14_000, 21_000)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("UTC", "Etc/UTC", True),
        ("UTC", "America/New_York", True),  # whole hours apart, in summer too
        ("Asia/Kolkata", "Asia/Calcutta", True),
        ("Asia/Kolkata", "Australia/Adelaide", True),
        ("UTC", "Asia/Kolkata", False),
        ("Asia/Kolkata", "Asia/Kathmandu", False),
        # The same for half of the year.
        ("UTC", "Australia/Lord_Howe", False),
        ("Australia/Adelaide", "Australia/Lord_Howe", False),
    ],
)
@pytest.mark.parametrize("now", ["2026-01-15T10:00", "2026-07-15T10:00"])
def test_zones_are_the_same_if_their_hours_turn_together(one, other, same, now):
    assert same_hours(make_hours(one), make_hours(other), ms(now)) is same
    assert same_hours(make_hours(other), make_hours(one), ms(now)) is same


@pytest.mark.parametrize("hours", [make_hours("Asia/Kolkata"), make_hours("UTC", 60)])
def test_a_definition_gives_the_hours_back(hours):
    found = defined_hours(hours.definition)
    assert found is not None
    assert found.definition == hours.definition
    assert found.at(1_780_000_000_000) == hours.at(1_780_000_000_000)


@pytest.mark.parametrize(
    "text", ["", "UTC", "zone:", "zone:Mars/Base", "zone:../x", "length:0", "length:x", "moon:1"]
)
def test_a_definition_that_can_t_be_read_means_no_hours(text):
    assert defined_hours(text) is None
