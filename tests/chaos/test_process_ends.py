"""However a process ends that holds a lease, the AppID is given back: by itself, or by others."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.field import FieldService
from tests.support.programs import Program
from tests.support.ours import OurService
from tests.support.services import AnyService, client_of
from tests.support.waiting import wait_until

HOLD = """
lease = client.lease("p", ttl=TTL, holder="the test's child").acquire()
say("holds", lease.appid)
listen()
"""


@pytest.mark.parametrize(
    "ending",
    [
        "sys.exit(3)",
        "raise ValueError('the body failed')",
        "raise KeyboardInterrupt",
        "os.kill(os.getpid(), signal.SIGINT); time.sleep(20)",
        "",
    ],
)
def test_a_block_that_ends_with_its_process_gives_the_appid_back(
    service: AnyService, ending: str
) -> None:
    text = (
        f"with client.lease('p') as lease:\n    say('holds', lease.appid)\n    {ending or 'pass'}\n"
    )
    with Program(text, service) as program:
        program.expect("holds")
        program.wait()
        assert service.in_use("p") == [], program.story


def test_a_lease_that_nobody_gave_back_is_given_back_at_the_exit(
    service: AnyService,
) -> None:
    with Program(HOLD.replace("TTL", "60"), service) as program:
        program.expect("holds")
        assert service.in_use("p") == ["a1"]
        program.tell()
        assert program.wait() == 0
        assert service.in_use("p") == [], program.story


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_release_on_termination_gives_back_and_exits_with_128_plus_the_signal(
    service: AnyService, number: int
) -> None:
    text = "release_on_termination()\n" + HOLD.replace("TTL", "60")
    with Program(text, service) as program:
        program.expect("holds")
        program.signal(number)
        assert program.wait() == 128 + number
        assert service.in_use("p") == [], program.story


def test_a_signal_handler_that_was_there_before_is_called_too(field: FieldService) -> None:
    text = (
        "signal.signal(signal.SIGTERM, lambda number, frame: say('old', number))\n"
        "release_on_termination(); release_on_termination()\n" + HOLD.replace("TTL", "60")
    )
    with Program(text, field) as program:
        program.expect("holds")
        program.signal(signal.SIGTERM)
        assert program.expect("old") == [str(int(signal.SIGTERM))]
        assert program.wait() == 128 + signal.SIGTERM
        assert field.in_use() == []


def test_what_a_killed_process_held_is_reaped_from_the_journal(
    service: AnyService, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    with (
        client_of(service, journal=journal) as reaper,
        Program(HOLD.replace("TTL", "None"), service, journal) as program,
    ):
        program.expect("holds")
        assert reaper.reap() == ()  # it lives
        assert service.in_use("p") == ["a1"]
        program.kill()
        (reaped,) = reaper.reap()
        assert (reaped.appid, reaped.holder, reaped.released) == ("a1", "the test's child", True)
        assert service.in_use("p") == []
        assert reaper.reap() == ()


def test_a_reaper_leaves_alone_what_somebody_else_got_since(
    service: AnyService, tmp_path: Path
) -> None:
    service.init("p", {"a1": 1})
    with Program(HOLD.replace("TTL", "None"), service, tmp_path / "journal") as program:
        program.expect("holds")
        program.kill()
    with client_of(service) as other, client_of(service, journal=tmp_path / "journal") as reaper:
        other.release_appid("a1", "p")
        service.advance_to_next_hour()
        other.acquire_appid("p")
        (reaped,) = reaper.reap()
        assert not reaped.released
        assert service.in_use("p") == ["a1"]


def test_an_acquire_on_its_way_when_its_process_died_is_given_up_by_its_request_id(
    ours: OurService, tmp_path: Path
) -> None:
    text = """
from appid_manager_client.wire.answers import AnswerReader
def die(self, answer, product_name):
    os.kill(os.getpid(), signal.SIGKILL)
AnswerReader.read_acquire = die
client.lease("p", ttl=None).acquire()
"""
    with Program(text, ours, tmp_path / "journal") as program:
        assert program.wait() == -signal.SIGKILL
    assert ours.in_use("p") == ["a1"]
    with client_of(ours, journal=tmp_path / "journal") as reaper:
        (reaped,) = reaper.reap()
    assert (reaped.appid, reaped.released) == (None, True)
    assert ours.in_use("p") == []


def test_without_a_journal_the_ttl_ends_what_a_killed_process_held(ours: OurService) -> None:
    with Program(HOLD.replace("TTL", "2"), ours) as program:
        program.expect("holds")
        assert ours.in_use("p") == ["a1"]
        program.kill()
    wait_until(lambda: ours.in_use("p") == [], what="the lease expires")
    assert [lease["ended"] for lease in ours.local.history("p")] == ["expired"]


def test_at_the_exit_with_the_service_down_the_journal_keeps_what_is_owed(
    field: FieldService, tmp_path: Path
) -> None:
    with Program(HOLD.replace("TTL", "60"), field, tmp_path / "journal") as program:
        program.expect("holds")
        with field.refusing():
            program.tell()
            assert program.wait() == 0
        assert "stays in the journal" in program.story
    assert field.in_use() == ["a1"]
    with client_of(field, journal=tmp_path / "journal") as reaper:
        assert [reaped.released for reaped in reaper.reap()] == [True]
    assert field.in_use() == []


def test_the_exit_with_a_service_that_hangs_is_bounded(field: FieldService) -> None:
    text = "client.close()\nclient = AppIdClient(timeout=1)\n" + HOLD.replace("TTL", "60") * 3
    with Program(text, field) as program:
        for _ in range(3):
            program.expect("holds")
            program.tell()
        with field.hold("release"):
            assert program.wait(timeout=30) == 0
        assert program.story.count("could not be given back") >= 1


FORK = """
lease = client.lease("p", ttl=60).acquire()
say("holds", lease.appid)
child = os.fork()
if not child:
    try:
        lease.check()
    except LeaseLost as lost:
        say("child", "lost" if "parent" in str(lost) else lost)
    assert not lease.release()
    with client.lease("p") as own:
        say("own", own.appid)
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
lease.check()
say("parent", lease.appid)
listen()
lease.release()
"""


def test_a_forked_child_leaves_its_parents_lease_alone_and_can_have_its_own(
    service: AnyService,
) -> None:
    with Program(FORK, service) as program:
        assert program.expect("holds") == ["a1"]
        assert program.expect("child") == ["lost"]
        assert program.expect("own") == ["a2"]
        assert program.expect("parent") == ["a1"]
        assert service.in_use("p") == ["a1"]
        program.tell()
        assert program.wait() == 0
        assert service.in_use("p") == []


STORM = """
def hammer():
    while not stop.is_set():
        client.get_status("p")
stop = threading.Event()
threads = [threading.Thread(target=hammer) for _ in range(4)]
for thread in threads:
    thread.start()
children = []
for number in range(12):
    child = os.fork()
    if not child:
        with client.lease(f"q{number}") as lease:
            wrong = lease.product_name != f"q{number}" or not lease.appid.startswith(f"q{number}-")
        os._exit(1 if wrong else 0)
    children.append(child)
say("ends", *[os.waitpid(child, 0)[1] for child in children])
stop.set()
for thread in threads:
    thread.join()
"""


def test_children_forked_under_load_never_share_their_parents_connections(
    service: AnyService,
) -> None:
    for number in range(12):
        service.init(f"q{number}", {f"q{number}-{i}": i for i in range(3)})
    with Program(STORM, service) as program:
        assert program.expect("ends", timeout=60) == ["0"] * 12
        assert program.wait() == 0
    assert service.in_use() == []


def test_a_child_of_a_killed_parent_does_not_keep_the_parents_lease_alive(
    field: FieldService, tmp_path: Path
) -> None:
    text = """
lease = client.lease("p").acquire()
child = os.fork()
if not child:
    time.sleep(60)
    os._exit(0)
say("holds", child)
listen()
"""
    with Program(text, field, tmp_path / "journal") as program:
        (child,) = program.expect("holds")
        program.kill()
        try:
            with client_of(field, journal=tmp_path / "journal") as reaper:
                # The child closes its copy as soon as it runs; until then the lock can't be free.
                reaped = wait_until(reaper.reap, what="the lock that the child let go")
            assert [one.released for one in reaped] == [True]
        finally:
            os.kill(int(child), signal.SIGKILL)
    assert field.in_use() == []


CHILDREN = """
import multiprocessing, sys
from appid_manager_client import AppIdClient

def work(number):
    with AppIdClient() as own, own.lease("p") as lease:
        return lease.appid

if __name__ == "__main__":
    with AppIdClient() as client, client.lease("p") as lease:
        with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
            got = pool.map(work, range(3))
        lease.check()
        assert lease.appid not in got
        print(*sorted(got))
"""


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_children_of_multiprocessing_get_appids_of_their_own(
    service: AnyService, tmp_path: Path, context: str
) -> None:
    script = tmp_path / "children.py"
    script.write_text(CHILDREN)
    environment = {
        **os.environ,
        "APPID_MANAGER_URL": service.url,
        "APPID_MANAGER_TOKEN": service.auth_token or "",
    }
    done = subprocess.run(
        [sys.executable, script, context],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ["a2", "a3", "a4"], done.stderr
    assert service.in_use("p") == []


PREFORK = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
with client.lease("p") as lease:        # the master has used its client before it forks
    say("master", lease.appid)
def serve():
    while True:
        connection, _ = listener.accept()
        if connection.recv(100) == b"quit":
            os._exit(0)
        with client.lease("p") as lease:
            connection.sendall(f"{os.getpid()} {lease.appid}".encode())
            connection.recv(100)        # held until the caller is done
        connection.sendall(b" given back")
        connection.close()
workers = []
for _ in range(3):
    worker = os.fork()
    if not worker:
        serve()
    workers.append(worker)
say("listens", listener.getsockname()[1])
listen()
for worker in workers:
    with socket.create_connection(listener.getsockname()) as connection:
        connection.sendall(b"quit")
        connection.recv(1)
say("ends", *[os.waitpid(worker, 0)[1] for worker in workers])
"""


def test_the_workers_of_a_prefork_server_share_nothing_but_the_code(
    service: AnyService,
) -> None:
    with Program(PREFORK, service) as program, ExitStack() as stack:
        assert program.expect("master") == ["a1"]
        (port,) = program.expect("listens")
        calls = [
            stack.enter_context(socket.create_connection(("127.0.0.1", int(port)), timeout=20))
            for _ in range(3)
        ]
        for call in calls:
            call.sendall(b"lease")
        answers = [call.recv(100).decode().split() for call in calls]
        assert len({pid for pid, _ in answers}) == 3
        held = sorted(appid for _, appid in answers)
        assert held == ["a2", "a3", "a4"] == sorted(service.in_use("p"))
        for call in calls:
            call.sendall(b"done")
            assert call.recv(100) == b" given back"
        assert service.in_use("p") == []
        program.tell()
        assert program.expect("ends") == ["0"] * 3
        assert program.wait() == 0
