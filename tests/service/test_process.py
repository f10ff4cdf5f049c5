"""The service as a process: what a kill, a signal, a second process and a taken port do."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import sqlite3
import subprocess
import sys
import threading
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from tests.service.process import service_process
from tests.support.waiting import wait_until

ENOUGH = 300
WITHIN = 60.0


@dataclass
class Notes:
    """What one caller heard: its grants with their starts, its releases, and what got no answer."""

    granted: dict[str, int] = field(default_factory=dict)
    released: set[str] = field(default_factory=set)
    releasing: set[str] = field(default_factory=set)
    unanswered: list[str] = field(default_factory=list)


def post(url, call, **body):
    return requests.post(f"{url}/api/appid/{call}", json=body, timeout=30)


def entries(url):
    answer = requests.get(f"{url}/api/appid/status", timeout=30)
    return {entry["appid"]: entry for entry in answer.json()["appids"]}


def call_until_it_breaks(url, notes, total, enough):
    with requests.Session() as session:
        for turn in range(10_000):
            request_id = str(uuid.uuid4())
            try:
                answer = session.post(
                    f"{url}/api/appid/acquire",
                    json={"productName": "stt", "requestId": request_id},
                    timeout=30,
                )
            except requests.RequestException:
                notes.unanswered.append(request_id)
                return
            assert answer.status_code == 200
            appid = answer.json()["appid"]
            assert appid not in notes.granted
            notes.granted[appid] = answer.json()["starttime"]
            if next(total) > ENOUGH:
                enough.set()
            if turn % 2:
                continue
            notes.releasing.add(appid)
            try:
                body = {"productName": "stt", "appid": appid}
                answer = session.post(f"{url}/api/appid/release", json=body, timeout=30)
            except requests.RequestException:
                return
            assert answer.status_code == 200
            notes.released.add(appid)


def test_killed_under_load_it_has_lost_nothing_that_it_acknowledged(tmp_path):
    database = tmp_path / "appids.db"
    notes = [Notes() for _ in range(6)]
    with service_process(database) as service:
        post(service.url, "init", productName="stt", appids={f"a{n}": n for n in range(20_000)})
        total, enough = itertools.count(), threading.Event()
        callers = [
            threading.Thread(target=call_until_it_breaks, args=(service.url, note, total, enough))
            for note in notes
        ]
        for caller in callers:
            caller.start()
        assert enough.wait(WITHIN)
        service.process.send_signal(signal.SIGKILL)
        for caller in callers:
            caller.join(WITHIN)
            assert not caller.is_alive()
        port = service.port
    granted = [appid for note in notes for appid in note.granted]
    assert len(granted) > ENOUGH
    assert len(granted) == len(set(granted))
    with service_process(database, port) as service:
        now = entries(service.url)
        for note in notes:
            for appid, start in note.granted.items():
                if appid in note.released:
                    assert now[appid]["status"] != "in_use"
                elif appid not in note.releasing:
                    assert now[appid]["status"] == "in_use"
                    assert now[appid]["starttime"] == start
        # An answer that was lost can still be had, and belongs to nobody else.
        for note in notes:
            for request_id in note.unanswered:
                answer = post(service.url, "acquire", productName="stt", requestId=request_id)
                assert answer.json()["appid"] not in granted
        fresh = post(service.url, "acquire", productName="stt").json()
        assert fresh["appid"] not in granted


def test_a_sigterm_lets_calls_under_way_finish_and_ends_with_0(tmp_path):
    with service_process(tmp_path / "appids.db") as service:
        appids = {f"appid-{number}": number for number in range(50_000)}
        answers = []
        begun = threading.Event()

        def body():
            # The service is in the middle of reading this when it is told to stop.
            text = json.dumps({"productName": "stt", "appids": appids}).encode()
            yield text[:100_000]
            begun.set()
            yield text[100_000:]

        def call():
            answers.append(
                requests.post(f"{service.url}/api/appid/init", data=body(), timeout=60).json()
            )

        caller = threading.Thread(target=call)
        caller.start()
        assert begun.wait(WITHIN)
        service.process.send_signal(signal.SIGTERM)
        caller.join(WITHIN)
        assert answers[0]["added_count"] == 50_000
        out, err = service.process.communicate(timeout=WITHIN)
        assert (service.process.returncode, out, err) == (0, "ended\n", "")


def test_two_processes_on_one_database_never_hand_out_the_same_appid(tmp_path):
    database = tmp_path / "appids.db"
    got = []
    with service_process(database) as one, service_process(database) as two:
        post(one.url, "init", productName="stt", appids={f"a{n}": n for n in range(200)})

        def take(url):
            with requests.Session() as session:
                while True:
                    body = {"productName": "stt"}
                    answer = session.post(f"{url}/api/appid/acquire", json=body, timeout=30)
                    if answer.status_code != 200:
                        assert answer.status_code == 202
                        return
                    got.append(answer.json()["appid"])

        takers = [threading.Thread(target=take, args=(s.url,)) for s in (one, two, one, two)]
        for taker in takers:
            taker.start()
        for taker in takers:
            taker.join(WITHIN)
    assert len(got) == 200
    assert len(set(got)) == 200


def test_a_port_that_is_taken_is_one_clear_line(tmp_path):
    with service_process(tmp_path / "one.db") as service:
        program = (
            "import sys\n"
            "from appid_manager_client.errors import ConfigurationError\n"
            "from appid_manager_client.server import ServiceSettings, serve\n"
            "try:\n"
            "    serve(ServiceSettings(port=int(sys.argv[1]), database=sys.argv[2]))\n"
            "except ConfigurationError as error:\n"
            "    print(error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(service.port), f"sqlite:///{tmp_path}/two.db"],
            capture_output=True,
            text=True,
            timeout=WITHIN,
        )
    assert done.stderr == ""
    assert f"port {service.port} on 127.0.0.1 is in use" in done.stdout
    assert not (tmp_path / "two.db").exists()


def test_neither_token_nor_bodies_are_written_anywhere(tmp_path):
    with service_process(tmp_path / "appids.db", token="s3cret-token") as service:
        headers = {"X-API-Key": "s3cret-token"}
        for call in ("init", "acquire", "release", "heartbeat", "nothing"):
            for body in ('{"productName": "private-name", ', '{"productName": "private-name"}'):
                requests.post(
                    f"{service.url}/api/appid/{call}", data=body, headers=headers, timeout=30
                )
        requests.get(f"{service.url}/api/appid/status", headers={"X-API-Key": "wr0ng"}, timeout=30)
        service.process.send_signal(signal.SIGTERM)
        out, err = service.process.communicate(timeout=WITHIN)
    for text in (out, err):
        for secret in ("s3cret-token", "wr0ng", "private-name"):
            assert secret not in text


@pytest.mark.parametrize("missing", ["sqlalchemy", "starlette", "uvicorn", "pydantic"])
def test_without_the_extra_one_line_names_what_to_install(missing):
    program = f"""
import sys
# As if it were not installed.
sys.modules[{missing!r}] = None

from appid_manager_client.errors import ConfigurationError
from appid_manager_client import server
from appid_manager_client.testing import LocalService
for use in (lambda: server.serve, LocalService):
    try:
        use()
    except ConfigurationError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=WITHIN
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert missing in line
        assert 'pip install "appid-manager-client[server]"' in line


@pytest.mark.parametrize("missing", ["uvloop", "httptools"])
def test_without_the_faster_loop_or_parser_it_runs_on_what_is_there(missing):
    program = f"""
import sys
sys.modules[{missing!r}] = None
import requests
from appid_manager_client.testing import LocalService
with LocalService() as service:
    print(requests.get(service.url + "/health").json()["status"])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=WITHIN
    )
    assert (done.stdout, done.stderr) == ("healthy\n", "")


def test_the_tokens_are_read_again_on_sighup_without_a_pause(tmp_path):
    tokens = tmp_path / "tokens"

    def write(*lines):
        tokens.write_text("\n".join(lines))
        tokens.chmod(0o600)

    def status_of(url, token):
        return requests.get(
            f"{url}/api/appid/products", headers={"X-API-Key": token}, timeout=30
        ).status_code

    write("ci use first")
    command = [sys.executable, "-m", "appid_manager_client.cli", "serve", "--port", "0", "--json"]
    command += ["--tokens", str(tokens), "--database", str(tmp_path / "a.db"), "--access-log", "-v"]
    log = tmp_path / "log"
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            url = json.loads(process.stdout.readline())["url"]
            assert [status_of(url, token) for token in ("first", "second")] == [200, 401]
            write("ci use second")
            process.send_signal(signal.SIGHUP)
            wait_until(lambda: status_of(url, "second") == 200, what="the new token is known")
            assert status_of(url, "first") == 401
            write("ci use second", "ops root third")
            process.send_signal(signal.SIGHUP)
            wait_until(lambda: "line 2: the role must be" in log.read_text(), what="it is refused")
            assert status_of(url, "second") == 200
        finally:
            process.terminate()
        assert process.wait(30) == 0
    assert "GET /api/appid/products 200, " in log.read_text()
    assert " ms, for ci at 127.0.0.1:" in log.read_text()
    for token in ("first", "second", "third"):
        assert token not in log.read_text()


def test_a_sighup_while_it_starts_ends_nothing(tmp_path):
    """A reload that comes early: the database is locked, and the start waits for it."""
    tokens = tmp_path / "tokens"
    tokens.write_text("ci use first")
    tokens.chmod(0o600)
    database = tmp_path / "a.db"
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("CREATE TABLE meta (key TEXT, value TEXT)")
        other.execute("DROP TABLE meta")
        other.execute("BEGIN EXCLUSIVE")
        command = [sys.executable, "-m", "appid_manager_client.cli", "-v", "serve", "--port", "0"]
        command += ["--tokens", str(tokens), "--database", str(database), "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                # It waits for the lock, and says so after a while.
                wait_until(lambda: ignores_hangups(process.pid), what="it starts")
                process.send_signal(signal.SIGHUP)
                other.execute("COMMIT")
                url = json.loads(process.stdout.readline())["url"]
                assert requests.get(f"{url}/live", timeout=30).status_code == 200
            finally:
                process.terminate()
                process.communicate()
        assert process.returncode == 0


def ignores_hangups(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    (ignored,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigIgn")]
    return int(ignored, 16) & 1
