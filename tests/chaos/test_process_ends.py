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

from appid_manager_client import AppIdClient
from appid_manager_client.testing import LocalService
from tests.support.field import FieldService
from tests.support.programs import Program
from tests.support.services import AnyService
from tests.support.waiting import wait_until

HOLD = """
lease = client.lease("p", ttl=TTL, holder="the test's child").acquire()
say("holds", lease.appid)
listen()
"""


def set_up(service: AnyService | LocalService, count: int = 3) -> AppIdClient:
    """A client of `service`, whose product p has so many AppIDs: a1, a2, ..."""
    client = AppIdClient(service.url, auth_token=service.auth_token)
    client.init_product("p", {f"a{number}": number for number in range(1, count + 1)})
    return client


def _in_use(service: LocalService) -> list[str]:
    entries = service.status("p")["appids"]
    return [entry["appid"] for entry in entries if entry["status"] == "in_use"]


def _program(text: str, service: AnyService | LocalService, journal: Path | None = None) -> Program:
    return Program(text, url=service.url, token=service.auth_token, journal=journal)


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
    any_service: AnyService, ending: str
) -> None:
    set_up(any_service).close()
    text = (
        f"with client.lease('p') as lease:\n    say('holds', lease.appid)\n    {ending or 'pass'}\n"
    )
    with _program(text, any_service) as program:
        program.expect("holds")
        program.wait()
        assert any_service.in_use("p") == [], program.story


def test_a_lease_that_nobody_gave_back_is_given_back_at_the_exit(
    any_service: AnyService,
) -> None:
    set_up(any_service).close()
    with _program(HOLD.replace("TTL", "60"), any_service) as program:
        program.expect("holds")
        assert any_service.in_use("p") == ["a1"]
        program.tell()
        assert program.wait() == 0
        assert any_service.in_use("p") == [], program.story


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_release_on_termination_gives_back_and_exits_with_128_plus_the_signal(
    any_service: AnyService, number: int
) -> None:
    set_up(any_service).close()
    text = "release_on_termination()\n" + HOLD.replace("TTL", "60")
    with _program(text, any_service) as program:
        program.expect("holds")
        program.signal(number)
        assert program.wait() == 128 + number
        assert any_service.in_use("p") == [], program.story


def test_a_signal_handler_that_was_there_before_is_called_too(field_service: FieldService) -> None:
    set_up(field_service).close()
    text = (
        "signal.signal(signal.SIGTERM, lambda number, frame: say('old', number))\n"
        "release_on_termination(); release_on_termination()\n" + HOLD.replace("TTL", "60")
    )
    with _program(text, field_service) as program:
        program.expect("holds")
        program.signal(signal.SIGTERM)
        assert program.expect("old") == [str(int(signal.SIGTERM))]
        assert program.wait() == 128 + signal.SIGTERM
        assert field_service.in_use() == []


def test_what_a_killed_process_held_is_reaped_from_the_journal(
    any_service: AnyService, tmp_path: Path
) -> None:
    set_up(any_service).close()
    reaper = AppIdClient(
        any_service.url, auth_token=any_service.auth_token, journal=tmp_path / "journal"
    )
    with _program(HOLD.replace("TTL", "None"), any_service, tmp_path / "journal") as program:
        program.expect("holds")
        assert reaper.reap() == ()  # it lives
        assert any_service.in_use("p") == ["a1"]
        program.kill()
        (reaped,) = reaper.reap()
        assert (reaped.appid, reaped.holder, reaped.released) == ("a1", "the test's child", True)
        assert any_service.in_use("p") == []
        assert reaper.reap() == ()
    reaper.close()


def test_a_reaper_leaves_alone_what_somebody_else_got_since(
    any_service: AnyService, tmp_path: Path
) -> None:
    client = set_up(any_service, count=1)
    with _program(HOLD.replace("TTL", "None"), any_service, tmp_path / "journal") as program:
        program.expect("holds")
        program.kill()
    client.release_appid("a1", "p")
    any_service.advance_to_next_hour()
    client.acquire_appid("p")
    reaper = AppIdClient(
        any_service.url, auth_token=any_service.auth_token, journal=tmp_path / "journal"
    )
    (reaped,) = reaper.reap()
    assert not reaped.released
    assert any_service.in_use("p") == ["a1"]
    reaper.close()
    client.close()


def test_an_acquire_on_its_way_when_its_process_died_is_given_up_by_its_request_id(
    tmp_path: Path,
) -> None:
    with LocalService() as service:
        set_up(service).close()
        text = """
from appid_manager_client.wire.answers import AnswerReader
def die(self, answer, product_name):
    os.kill(os.getpid(), signal.SIGKILL)
AnswerReader.read_acquire = die
client.lease("p", ttl=None).acquire()
"""
        with _program(text, service, tmp_path / "journal") as program:
            assert program.wait() == -signal.SIGKILL
        assert _in_use(service) == ["a1"]
        with AppIdClient(service.url, journal=tmp_path / "journal") as reaper:
            (reaped,) = reaper.reap()
        assert reaped.appid is None
        assert reaped.released
        assert _in_use(service) == []


def test_without_a_journal_the_ttl_ends_what_a_killed_process_held() -> None:
    with LocalService() as service:
        set_up(service).close()
        with _program(HOLD.replace("TTL", "2"), service) as program:
            program.expect("holds")
            assert _in_use(service) == ["a1"]
            program.kill()
        wait_until(lambda: _in_use(service) == [], what="the lease expires")
        assert [lease["ended"] for lease in service.history("p")] == ["expired"]


def test_at_the_exit_with_the_service_down_the_journal_keeps_what_is_owed(
    field_service: FieldService, tmp_path: Path
) -> None:
    set_up(field_service).close()
    with _program(HOLD.replace("TTL", "60"), field_service, tmp_path / "journal") as program:
        program.expect("holds")
        with field_service.refusing():
            program.tell()
            assert program.wait() == 0
        assert "stays in the journal" in program.story
    assert field_service.in_use() == ["a1"]
    with AppIdClient(
        field_service.url, auth_token=field_service.auth_token, journal=tmp_path / "journal"
    ) as reaper:
        assert [reaped.released for reaped in reaper.reap()] == [True]
    assert field_service.in_use() == []


def test_the_exit_with_a_service_that_hangs_is_bounded(field_service: FieldService) -> None:
    set_up(field_service).close()
    text = "client.close()\nclient = AppIdClient(timeout=1)\n" + HOLD.replace("TTL", "60") * 3
    with _program(text, field_service) as program:
        for _ in range(3):
            program.expect("holds")
            program.tell()
        with field_service.hold("release"):
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
    any_service: AnyService,
) -> None:
    set_up(any_service).close()
    with _program(FORK, any_service) as program:
        assert program.expect("holds") == ["a1"]
        assert program.expect("child") == ["lost"]
        assert program.expect("own") == ["a2"]
        assert program.expect("parent") == ["a1"]
        assert any_service.in_use("p") == ["a1"]
        program.tell()
        assert program.wait() == 0
        assert any_service.in_use("p") == []


MULTIPROCESSING = """
import multiprocessing
def work(number):
    own = AppIdClient()
    with own.lease("p") as lease:
        return lease.appid
if __name__ == "__main__":
    with client.lease("p") as lease:
        context = multiprocessing.get_context("fork")
        with context.Pool(2) as pool:
            got = pool.map(work, range(4))
        assert lease.appid not in got
        lease.check()
        say("got", *sorted(got))
"""


def test_multiprocessing_children_get_appids_of_their_own(
    any_service: AnyService,
) -> None:
    set_up(any_service, count=5).close()
    with _program(MULTIPROCESSING, any_service) as program:
        assert program.expect("got") == ["a2", "a3", "a4", "a5"]
        assert program.wait() == 0
        assert any_service.in_use("p") == []


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
    any_service: AnyService,
) -> None:
    with set_up(any_service) as client:
        for number in range(12):
            client.init_product(f"q{number}", {f"q{number}-{i}": i for i in range(3)})
        with _program(STORM, any_service) as program:
            assert program.expect("ends", timeout=60) == ["0"] * 12
            assert program.wait() == 0
        for number in range(12):
            assert any_service.in_use(f"q{number}") == []


def test_a_child_of_a_killed_parent_does_not_keep_the_parents_lease_alive(
    field_service: FieldService, tmp_path: Path
) -> None:
    set_up(field_service).close()
    text = """
lease = client.lease("p").acquire()
child = os.fork()
if not child:
    time.sleep(60)
    os._exit(0)
say("holds", child)
listen()
"""
    with _program(text, field_service, tmp_path / "journal") as program:
        (child,) = program.expect("holds")
        program.kill()
        try:
            with AppIdClient(
                field_service.url, auth_token=field_service.auth_token, journal=tmp_path / "journal"
            ) as reaper:
                # The child closes its copy as soon as it runs; until then the lock can't be free.
                reaped = wait_until(reaper.reap, what="the lock that the child let go")
            assert [one.released for one in reaped] == [True]
        finally:
            os.kill(int(child), signal.SIGKILL)
    assert field_service.in_use() == []


SPAWN = """
import multiprocessing
from appid_manager_client import AppIdClient

def work(number):
    with AppIdClient() as own, own.lease("p") as lease:
        return lease.appid

if __name__ == "__main__":
    with AppIdClient() as client, client.lease("p") as lease:
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            got = pool.map(work, range(3))
        lease.check()
        assert lease.appid not in got
        print(*sorted(got))
"""


def test_spawned_children_get_appids_of_their_own(any_service: AnyService, tmp_path: Path) -> None:
    set_up(any_service, count=4).close()
    script = tmp_path / "spawn.py"
    script.write_text(SPAWN)
    environment = {"APPID_MANAGER_URL": any_service.url}
    environment["APPID_MANAGER_TOKEN"] = any_service.auth_token or ""
    done = subprocess.run(
        [sys.executable, script],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ["a2", "a3", "a4"], done.stderr
    assert any_service.in_use("p") == []


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
    any_service: AnyService,
) -> None:
    set_up(any_service, count=10).close()
    with _program(PREFORK, any_service) as program, ExitStack() as stack:
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
        assert held == ["a2", "a3", "a4"] == sorted(any_service.in_use("p"))
        for call in calls:
            call.sendall(b"done")
            assert call.recv(100) == b" given back"
        assert any_service.in_use("p") == []
        program.tell()
        assert program.expect("ends") == ["0"] * 3
        assert program.wait() == 0
