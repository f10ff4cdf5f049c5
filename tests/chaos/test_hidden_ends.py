"""Ends of processes that are easily missed, and trouble at the end: no AppID stays in use."""

from __future__ import annotations

import time
from importlib.metadata import version

import pytest
from packaging.version import Version

from appid_manager_client.lease.exits import EXIT_TIMEOUT
from tests.support.faults import Fault
from tests.support.field import FieldService
from tests.support.ours import OurService
from tests.support.programs import Program
from tests.support.services import AnyService

CHILDREN = {
    "multiprocessing": "multiprocessing.get_context('fork').Process(target=work)",
    "forkserver": "multiprocessing.get_context('forkserver').Process(target=work)",
    "spawn": "multiprocessing.get_context('spawn').Process(target=work)",
    "billiard": "billiard.get_context('fork').Process(target=work)",
    "a daemon": "multiprocessing.get_context('fork').Process(target=work, daemon=True)",
}
BY_HAND = """
import multiprocessing
import os
{imports}
from appid_manager_client import AppIdClient

def work():
    AppIdClient().lease("p", ttl=None).acquire()

if __name__ == "__main__":
    child = {child}
    child.start()
    child.join()
    print("ended", child.exitcode, flush=True)
"""


@pytest.mark.parametrize("kind", CHILDREN)
def test_a_lease_by_hand_of_a_child_that_just_returns_is_given_back(
    service: AnyService, kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    script = tmp_path_factory.mktemp("script") / "children.py"
    imports = "import billiard" if kind == "billiard" else ""
    script.write_text(BY_HAND.format(imports=imports, child=CHILDREN[kind]))
    starter = f"import subprocess; print(subprocess.run([sys.executable, {str(script)!r}], "
    starter += "capture_output=True, text=True).stdout, flush=True)"
    with Program(starter, service) as program:
        assert program.expect("ended", timeout=40) == ["0"]
        program.wait()
    assert len(service.grants) == 1
    assert service.in_use("p") == []


EXECUTOR = """
import concurrent.futures
def work(number):
    lease = client.lease("p", ttl=None).acquire()
    return lease.appid
import multiprocessing
context = multiprocessing.get_context("fork")
with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
    got = list(pool.map(work, range(2)))
say("got", len(got))
"""


def test_a_lease_by_hand_in_a_process_pool_is_given_back_when_the_pool_ends(
    service: AnyService,
) -> None:
    with Program(EXECUTOR, service) as program:
        assert program.expect("got") == ["2"]
        assert program.wait() == 0
    assert service.in_use("p") == []


THREAD_OF_A_CHILD = """
import multiprocessing
def use():
    lease = client.lease("p", ttl=None).acquire()
    time.sleep(0.5)
    lease.check()
    print("still", lease.held, flush=True)
def work():
    threading.Thread(target=use).start()
child = multiprocessing.get_context("fork").Process(target=work)
child.start()
child.join()
say("ended", child.exitcode)
"""


def test_a_thread_that_outlives_its_childs_main_thread_keeps_its_lease_to_its_end(
    service: AnyService,
) -> None:
    with Program(THREAD_OF_A_CHILD, service) as program:
        assert program.expect("still") == ["True"]
        assert program.expect("ended") == ["0"]
        program.wait()
    assert service.in_use("p") == []


FOUR = """
leases = [client.lease("p", ttl=None).acquire() for _ in range(4)]
say("holds", len(leases))
listen()
"""


@pytest.mark.parametrize("strikes", [1, 2])
def test_an_interrupt_in_the_exit_handler_stops_no_release(
    field: FieldService, strikes: int
) -> None:
    with Program(FOUR, field) as program:
        program.expect("holds")
        hang = field.faults.queue("release", Fault.HANG)
        program.tell()
        hang.wait_reached()
        for _ in range(strikes):
            program.signal(2)
            time.sleep(0.1)  # two that come at once are one to a process
        hang.release()
        program.wait()
    assert field.in_use("p") == []


CLIENTS = """
clients = [AppIdClient(timeout=20) for _ in range(6)]
leases = [each.lease("p", ttl=None).acquire() for each in clients]
say("holds", len(leases))
listen()
"""


def test_one_deadline_holds_for_all_clients_at_a_service_that_hangs(
    field: FieldService,
) -> None:
    with Program(CLIENTS, field) as program:
        program.expect("holds")
        hangs = [field.faults.queue("release", Fault.HANG) for _ in range(6)]
        began = time.monotonic()
        program.tell()
        program.wait(40)
        took = time.monotonic() - began
        assert program.story.count("could not be given back before the end") == 6
        for hang in hangs:
            hang.release()
    assert took < EXIT_TIMEOUT + 3


PRELOADED = """
client.health_check()
child = os.fork()
if not child:
    signal.alarm(25)
    from gevent import monkey
    monkey.patch_all()
    import gevent
    def use():
        with client.lease("p") as lease:
            gevent.sleep(0.1)
            return lease.appid
    jobs = [gevent.spawn(use) for _ in range(5)]
    gevent.joinall(jobs)
    say("got", *sorted(job.value for job in jobs))
    os._exit(0)
say("ended", os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(
    Version(version("urllib3")) < Version("2.8"),
    reason="there, urllib3 itself can't be patched late",
)
def test_a_preloaded_client_works_in_a_child_that_is_patched_by_gevent(
    service: AnyService,
) -> None:
    """As gunicorn -k gevent --preload does: import and client first, then fork, then the patch."""
    with Program(PRELOADED, service) as program:
        assert program.expect("got", timeout=40) == ["a1", "a2", "a3", "a4", "a5"]
        assert program.expect("ended") == ["0"]
        program.wait()
    assert service.in_use("p") == []


GREEN = """
child = os.fork()
if not child:
    signal.alarm(25)
    from gevent import monkey
    monkey.patch_all()
    import gevent
    def use():
        lease = client.lease("p", ttl=None)
        try:
            with gevent.Timeout(0.3):
                lease.acquire()
        except gevent.Timeout:
            say("struck")
    gevent.spawn(use).join()
    while client.pending_releases or not client._keeper.idle:
        gevent.sleep(0.05)
    say("idle")
    os._exit(0)
say("ended", os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(
    Version(version("urllib3")) < Version("2.8"),
    reason="there, urllib3 itself can't be patched late",
)
def test_a_time_limit_of_a_greenlet_leaves_nothing_in_use(field: FieldService) -> None:
    hang = field.faults.queue("acquire", Fault.HANG)
    with Program(GREEN, field) as program:
        program.expect("struck")
        hang.release()
        program.expect("idle")
        assert program.expect("ended") == ["0"]
        program.wait()
    assert len(field.grants) == 1 and field.in_use("p") == []


THROWN = """
import ctypes
def use():
    try:
        client.lease("p", ttl=None).acquire()
    except InterruptedError:
        say("struck")
thread = threading.Thread(target=use)
thread.start()
listen()
ctypes.pythonapi.PyThreadState_SetAsyncExc(
    ctypes.c_ulong(thread.ident), ctypes.py_object(InterruptedError)
)
say("thrown")
thread.join()
"""


def test_an_exception_that_is_thrown_into_a_thread_leaves_nothing_in_use(
    field: FieldService,
) -> None:
    """As dramatiq does it, for a time limit and for its end."""
    hang = field.faults.queue("acquire", Fault.HANG)
    with Program(THROWN, field) as program:
        hang.wait_reached()
        program.tell()
        program.expect("thrown")
        hang.release()
        program.expect("struck")
        assert program.wait() == 0
    assert len(field.grants) == 1 and field.in_use("p") == []


PLAIN = """
say("asks")
appid = client.acquire_appid("p").appid
"""


@pytest.mark.parametrize("where", ["acquire", "release"])
def test_a_plain_call_that_is_interrupted_on_its_way_leaves_nothing_in_use(
    service: AnyService, where: str
) -> None:
    text = PLAIN if where == "acquire" else PLAIN + "client.release_appid(appid, 'p')\n"
    hang = service.faults.queue(where, Fault.HANG)
    with Program(text, service) as program:
        program.expect("asks")
        hang.wait_reached()
        program.signal(2)
        time.sleep(0.2)  # the interrupt strikes before the answer is sent
        hang.release()
        assert program.wait() == 130 or "KeyboardInterrupt" in program.story
    assert len(service.grants) == 1
    assert service.in_use("p") == []


SHORTAGE = """
import resource
def size():
    return int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
client.health_check()
_, hard = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (size() + 4 * 2**20, hard))
try:
    threading.Thread(target=print).start()
except RuntimeError:
    say("no thread can be started")
lease = client.lease("p", ttl=2).acquire()
resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
until = time.monotonic() + 5
while time.monotonic() < until:
    lease.check()
    time.sleep(0.1)
say("still", lease.held)
lease.release()
"""


def test_a_lease_that_began_when_no_thread_could_be_started_lives_on(
    ours: OurService,
) -> None:
    with Program(SHORTAGE, ours) as program:
        program.expect("no")
        assert program.expect("still") == ["True"]
        assert program.wait() == 0
        assert "appid-keeper" in program.story and "can't be started" in program.story
    assert ours.in_use("p") == []
    assert [grant.appid for grant in ours.grants] == ["a1"]
