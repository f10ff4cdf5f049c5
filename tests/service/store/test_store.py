"""The store by itself: a clock that is set back, batches, failures, and what is forgotten."""

import signal
import subprocess
import sys
import threading
import uuid

import pytest

from appid_manager_client.errors import ConfigurationError
from appid_manager_client.server.log import describe_failure
from appid_manager_client.server.operations import (
    Abandon,
    Acquire,
    Exhausted,
    Extended,
    Granted,
    Heartbeat,
    Init,
    Refused,
    Release,
    Released,
    Sweep,
)
from appid_manager_client.server.records import HistoryQuery, StatusQuery

from .world import DAY_MS, HOUR_MS, World, listening


@pytest.fixture
def world(database_url):
    made = World(database_url)
    yield made
    made.store.close()


def test_a_clock_set_back_frees_nothing_that_was_used_in_the_later_hour(world):
    world.do(Init("p", {"a": 1}))
    assert isinstance(world.do(Acquire("p")), Granted)
    start = world.now
    world.now -= HOUR_MS
    assert world.do(Release("p", "a")) == Released("p", "a", start)
    assert isinstance(world.do(Acquire("p")), Exhausted)
    world.now += HOUR_MS
    assert isinstance(world.do(Acquire("p")), Exhausted)
    world.now += HOUR_MS
    assert isinstance(world.do(Acquire("p")), Granted)


def test_a_lease_that_a_clock_set_back_has_end_early_ends_no_earlier_than_it_began(world):
    world.do(Init("p", {"a": 1}))
    grant = world.do(Acquire("p", ttl_ms=1000))
    world.now -= 2000
    extended = world.do(Heartbeat([grant.lease_id], world.now))
    assert extended.expires == {grant.lease_id: grant.start - 1000}
    world.now = grant.start
    assert isinstance(world.do(Acquire("p")), Exhausted), "it was used in this hour"
    (lease,) = world.store.history(HistoryQuery()).leases
    assert (lease.ended, lease.stop) == ("expired", grant.start)


def test_a_forced_use_after_the_clock_was_set_back_doesn_t_shorten_the_earlier_one(world):
    world.do(Init("p", {"a": 1}))
    world.do(Acquire("p"))
    world.do(Release("p", "a"))
    world.now -= HOUR_MS
    world.do(Acquire("p", force=True))
    world.do(Release("p", "a"))
    world.now += HOUR_MS
    assert isinstance(world.do(Acquire("p")), Exhausted)


def test_a_clock_that_leapt_gives_every_lease_its_whole_ttl(world):
    world.do(Init("p", {"a": 1}))
    lease = world.do(Acquire("p", ttl_ms=5_000))
    world.now += HOUR_MS
    world.jumped = True
    world.do(Sweep())
    world.jumped = False
    world.now += 4_999
    beat = world.do(Heartbeat([lease.lease_id], world.now))
    assert beat == Extended({lease.lease_id: world.now + 5_000})


def test_a_heartbeat_that_came_in_time_counts_however_long_it_had_to_wait(world):
    world.do(Init("p", {"a": 1}))
    lease = world.do(Acquire("p", ttl_ms=5_000))
    received = world.now + 4_999
    world.now += 7_000
    assert lease.lease_id in world.do(Heartbeat([lease.lease_id], received)).expires


def test_what_waits_together_gets_different_appids_in_order(world):
    world.do(Init("p", {f"a{n}": n for n in range(3)}))
    outcomes = world.do(*[Acquire("p") for _ in range(5)])
    appids = [getattr(outcome, "appid", None) for outcome in outcomes]
    assert appids == ["a0", "a1", "a2", None, None]


def test_one_request_twice_in_a_batch_is_one_grant(world):
    world.do(Init("p", {"a": 1, "b": 2}))
    request = uuid.uuid4().hex
    one, two, other = world.do(*[Acquire("p", request_id=r) for r in (request, request, None)])
    assert one == two
    assert other.appid != one.appid


def test_an_acquire_and_its_abandonment_in_a_batch_leave_nothing_held(world):
    world.do(Init("p", {"a": 1}))
    request = uuid.uuid4().hex
    world.do(Acquire("p", request_id=request), Abandon("p", request), Abandon("p", request))
    assert world.store.status(StatusQuery("p")).available == 1
    assert world.do(Acquire("p", request_id=request)).code == "request_abandoned"


def test_two_releases_in_a_batch_count_once(world):
    world.do(Init("p", {"a": 1}))
    grant = world.do(Acquire("p"))
    one, two, three = world.do(
        Release("p", "a", grant.lease_id), Release("p", "a", grant.lease_id), Release("p", "a")
    )
    assert isinstance(one, Released)
    assert two.code == "lease_mismatch"
    assert three.code == "already_released"


def test_a_failure_harms_no_other_operation_of_its_batch(world):
    world.do(Init("p", {"a": 1, "b": 2}))
    broken = Acquire("p", holder=object())  # what no database can take
    good, bad, also_good = world.do(Acquire("p"), broken, Acquire("p"))
    assert isinstance(bad, Exception)
    assert {good.appid, also_good.appid} == {"a", "b"}


def test_a_failure_leaves_nothing_half_done(world):
    world.do(Init("p", {"a": 1}))
    assert isinstance(world.do(Acquire("p", holder=object())), Exception)
    assert world.store.status(StatusQuery("p")).available == 1
    assert isinstance(world.do(Acquire("p")), Granted)


def test_a_commit_that_fails_acknowledges_nothing_and_the_next_one_works(world):
    world.do(Init("p", {"a": 1}))

    def refuse(_connection):
        raise OSError("the disk is full")

    with listening(world.store, "commit", refuse):
        assert all(isinstance(o, OSError) for o in world.do(Acquire("p"), Acquire("p")))
    assert isinstance(world.do(Acquire("p")), Granted)


def test_errors_hold_nothing_that_a_caller_sent(world, caplog):
    world.do(Init("p", {"a": 1}))
    one, two = world.do(*[Acquire("p", holder="private-name \ud800") for _ in range(2)])
    for said in (describe_failure(one), describe_failure(two), caplog.text):
        assert "private-name" not in said
    assert "run one by one" in caplog.text


def test_thousands_of_names_fit(world):
    world.do(Init("p", {f"a{n}": n for n in range(3_000)}))
    grants = world.do(*[Acquire("p", ttl_ms=1_000) for _ in range(2_000)])
    beat = world.do(Heartbeat([grant.lease_id for grant in grants], world.now))
    assert len(beat.expires) == 2_000
    released = world.do(*[Release("p", grant.appid, grant.lease_id) for grant in grants])
    assert all(isinstance(outcome, Released) for outcome in released)
    done = world.do(Init("p", {f"a{n}": n for n in range(1_000, 4_000)}, keep_state=True))
    assert (done.removed, done.added) == (1_000, 1_000)


def test_old_history_goes_and_what_is_held_stays(world):
    world.do(Init("p", {"a": 1, "b": 2}))
    world.do(Acquire("p", request_id=uuid.uuid4().hex))
    world.do(Acquire("p"))
    world.do(Release("p", "a"))
    world.now += 2 * DAY_MS + 1
    world.do(Sweep(prune=True))
    assert [lease.appid for lease in world.store.history(HistoryQuery()).leases] == ["b"]


KILLED = """
import os, signal, sys
from appid_manager_client.server.hours import ShortHours
from appid_manager_client.server.operations import Init
from appid_manager_client.server.store.store import Store

store = Store(sys.argv[1], ShortHours(100))
engine = store._engine
real = engine.add_appids

def killed_in_the_middle(connection, rows):
    def some():
        for number, row in enumerate(rows):
            if number == 10_000:
                os.kill(os.getpid(), signal.SIGKILL)
            yield row
    return real(connection, some())

engine.add_appids = killed_in_the_middle
names = {f"new{number}": number for number in range(20_000)}
store.execute([Init("p", names, keep_state=sys.argv[2] == "keepState")])
"""


@pytest.mark.parametrize("how", ["reset", "keepState"])
def test_an_init_that_is_killed_in_the_middle_leaves_the_product_as_it_was(world, how):
    world.do(Init("p", {"a": 1, "b": 2}))
    world.do(Acquire("p"))
    before = world.store.status(StatusQuery()), world.store.history(HistoryQuery()).leases
    ran = subprocess.run(
        [sys.executable, "-c", KILLED, world.url, how], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    assert (world.store.status(StatusQuery()), world.store.history(HistoryQuery()).leases) == before
    assert isinstance(world.do(Acquire("p")), Granted)


def test_what_is_old_goes_in_slices(world):
    """A slice at a time, the oldest first: others don't wait long, and a kill loses no more."""
    names = [f"a{number:04d}" for number in range(1_200)]
    requests = {name: uuid.uuid4().hex for name in names}
    world.do(Init("p", {name: 1 for name in names}))
    for first in range(0, 1_200, 300):
        world.do(*[Acquire("p", request_id=requests[name]) for name in names[first : first + 300]])
        world.now += 1
        world.do(*[Release("p", name) for name in names[first : first + 300]])
    world.now += DAY_MS
    assert [world.do(Sweep(prune=True)).more for _ in range(3)] == [True, True, False]
    assert len(world.store.history(HistoryQuery(limit=10_000)).leases) == 1_200
    again = world.do(Acquire("p", request_id=requests["a1199"]))
    assert isinstance(again, Granted), "its request was forgotten"
    world.now += DAY_MS
    assert world.do(Sweep(prune=True)).more
    left = [lease.appid for lease in world.store.history(HistoryQuery(limit=10_000)).leases]
    assert len(left) == 701 and left.count(again.appid) == 1
    assert set(names[600:]) <= set(left) <= {*names[300:], again.appid}


def test_a_request_may_not_change_its_product(world):
    world.do(Init("p", {"a": 1}), Init("q", {"b": 1}))
    request = uuid.uuid4().hex
    outcomes = world.do(Acquire("p", request_id=request), Acquire("q", request_id=request))
    assert isinstance(outcomes[0], Granted)
    assert isinstance(outcomes[1], Refused)


def test_everything_is_there_after_it_was_closed_and_opened(world):
    world.do(Init("p", {"a": "x", "b": 2}))
    grant = world.do(Acquire("p"))
    before = world.store.status(StatusQuery())
    world.store.close()
    world.store = world.open()
    assert world.store.status(StatusQuery()) == before
    assert isinstance(world.do(Release("p", grant.appid, grant.lease_id)), Released)


def test_a_database_of_another_version_is_refused(world):
    world.run("UPDATE meta SET value = '99' WHERE key = 'schema'")
    with pytest.raises(ConfigurationError, match="schema 99") as caught:
        world.open()
    assert caught.value.setting == "database"


def test_questions_are_answered_while_a_batch_runs(world):
    world.do(Init("p", {"a": 1}))
    holding, go_on = threading.Event(), threading.Event()

    def slow_clock():
        if threading.current_thread() is writer:
            holding.set()
            assert go_on.wait(30)
        return world.now

    world.clock = slow_clock
    writer = threading.Thread(target=world.do, args=(Acquire("p"),))
    writer.start()
    try:
        assert holding.wait(30)
        assert world.store.status(StatusQuery("p")).available == 1
    finally:
        go_on.set()
        writer.join(30)
    assert world.store.status(StatusQuery("p")).available == 0
