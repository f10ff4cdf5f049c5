"""A fork at a bad time: what another thread of the parent held or did doesn't harm the child."""

from __future__ import annotations

from tests.support.faults import Fault
from tests.support.field import FieldService
from tests.support.ours import OurService
from tests.support.programs import Program

CHILD = """
def child_says(work):
    '''Fork, do the work in the child, and say how it ended; the alarm ends one that hangs.'''
    child = os.fork()
    if not child:
        signal.alarm(15)
        work()
        os._exit(0)
    say("child", os.waitpid(child, 0)[1])
"""

WAITING = """
def wait_for_one():
    with client.lease("p"):
        pass
# As a thread of the parent holds it, each time that it begins or ends a wait.
with client._keeper._worker._guard():
    child_says(wait_for_one)
"""


def test_a_child_can_wait_although_a_thread_of_its_parent_was_just_about_to(
    field: FieldService,
) -> None:
    field.faults.queue("acquire", Fault.UNAVAILABLE, retry_after=0)
    with Program(CHILD + WAITING, field) as program:
        assert program.expect("child", timeout=40) == ["0"]
        assert program.wait() == 0
    assert field.in_use("p") == []


DEFAULT = """
import appid_manager_client.default as module
# As a thread of the parent holds it, while it makes the default client.
with module._default._lock:
    child_says(lambda: get_default_client().get_status("p"))
"""


def test_a_child_can_have_the_default_client_although_its_parent_was_just_making_it(
    field: FieldService,
) -> None:
    with Program(CHILD + DEFAULT, field) as program:
        assert program.expect("child", timeout=40) == ["0"]
        assert program.wait() == 0


OVERDUE = """
from appid_manager_client.runtime.time import SystemTime
class Skipping(SystemTime):
    ahead = 0.0
    def monotonic(self):
        return super().monotonic() + self.ahead
system = Skipping()
told = []
client.close()
client = AppIdClient(system=system)
lease = client.lease("p", ttl=600, on_lost=told.append).acquire()
def look():
    system.ahead = 700.0                # for the child alone, which sees no heartbeats
    assert not lease.held and not lease.lost
    assert client.pending_releases == () and not told
    with client.lease("p") as own:      # has its own keeper work
        assert own.held
    assert client.pending_releases == () and not told
    assert not any(t.name == "appid-callback" for t in threading.enumerate())
child_says(look)
lease.check()
lease.release()
"""


def test_a_child_that_outlives_its_parents_ttl_calls_no_lease_of_the_parents_lost(
    ours: OurService,
) -> None:
    with Program(CHILD + OVERDUE, ours) as program:
        assert program.expect("child", timeout=40) == ["0"]
        assert program.wait() == 0, program.story
        assert "lost AppID a1 (product p)" not in program.story
    assert ours.in_use("p") == []
