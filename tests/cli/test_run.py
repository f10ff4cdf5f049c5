"""`appid-manager run` with real commands: exit codes, signals, child processes, a lost lease."""

from __future__ import annotations

import os
import pwd
import signal
import sys
from pathlib import Path
from typing import Any, Protocol

import pytest

from appid_manager_client import AppIdClient
from appid_manager_client.testing import LocalService
from tests.cli.command import Process, Ran, Spawn, endings
from tests.cli.terminal import is_stopped
from tests.support.waiting import wait_until

# Runs until the test, or `run` itself, has ended: a test that fails leaves no process behind.
LOOP = "while kill -0 $PPID 2>/dev/null; do sleep 0.02; done"
OUTLIVED = "processes that it started have not"


class Run(Protocol):
    """Starts `appid-manager run p OPTIONS -- sh -c SCRIPT`."""

    def __call__(self, script: str, *options: str, **more: Any) -> Process: ...


@pytest.fixture
def run(spawn: Spawn, service: LocalService) -> Run:
    def start(script: str, *options: str, **more: Any) -> Process:
        command = ("sh", "-c", script)
        return spawn("--url", service.url, "run", "p", *options, "--", *command, **more)

    return start


def test_the_command_has_the_appid_in_its_environment(run: Run, service: LocalService) -> None:
    ran = run('echo "$APPID $APPID_VID $APPID_START_TIME $APPID_PRODUCT $APPID_FENCE"').end()
    (lease,) = service.history("p")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.split() == ["a1", "v1", str(lease["starttime"]), "p", str(lease["fence"])]
    assert lease["ended"] == "released"


@pytest.mark.parametrize(
    ("script", "code"), [("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)]
)
def test_the_exit_code_is_the_commands_own(
    run: Run, service: LocalService, script: str, code: int
) -> None:
    assert run(script).code() == code
    assert endings(service) == ["released"]


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("no-such-command", 127, "no-such-command: command not found"),
        ("/no/such/command", 127, "/no/such/command: command not found"),
        ("/", 126, "/: is a directory"),
        ("tool", 126, "tool: is not executable"),
    ],
)
def test_a_command_that_can_not_be_run_uses_no_appid(
    spawn: Spawn, service: LocalService, tmp_path: Path, command: str, code: int, message: str
) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    environment = {**os.environ, "PATH": str(tmp_path)}
    ran = spawn("--url", service.url, "run", "p", "--", command, env=environment)
    assert ran.end() == Ran(code, "", f"appid-manager: {message}\n")
    assert endings(service) == []


def test_a_program_that_the_system_refuses_gives_its_appid_back(
    spawn: Spawn, service: LocalService, tmp_path: Path
) -> None:
    file = tmp_path / "tool"
    file.write_bytes(b"\x7fELF but not really")
    file.chmod(0o755)
    assert spawn("--url", service.url, "run", "p", "--", str(file)).code() == 126
    assert endings(service) == ["released"]


def test_the_command_is_no_shell_line(spawn: Spawn, service: LocalService) -> None:
    command = ("echo", "$APPID; --", "*", "--x")
    ran = spawn("--url", service.url, "run", "p", "--", *command)
    assert ran.end().out == "$APPID; -- * --x\n"


def test_a_token_given_as_an_option_does_not_reach_the_command(spawn: Spawn) -> None:
    with LocalService("top-s3cret") as service:
        with AppIdClient(service.url, auth_token="top-s3cret") as client:
            client.init_product("p", {"a1": 1})
        options = ("--url", service.url, "--token", "top-s3cret")
        ran = spawn(*options, "run", "p", "--", "env").end()
    assert ran.code == 0
    assert "top-s3cret" not in ran.out + ran.err


def test_the_holder_is_user_host_process_and_command_by_default(
    run: Run, service: LocalService
) -> None:
    ran = run("true")
    ran.end()
    user = pwd.getpwuid(os.geteuid()).pw_name
    assert service.history("p")[0]["holder"] == f"{user}@{os.uname().nodename}:{ran.pid} sh"


def test_a_lease_outlives_ten_minutes_of_outage_by_default(run: Run, service: LocalService) -> None:
    run("true").end()
    (lease,) = service.history("p")
    assert lease["expiresAt"] - lease["starttime"] == 600_000


def test_a_holder_can_be_given(run: Run, service: LocalService) -> None:
    run("true", "--holder", "nightly billing").end()
    assert service.history("p")[0]["holder"] == "nightly billing"


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2"])
def test_a_signal_is_passed_on_to_the_command(run: Run, service: LocalService, name: str) -> None:
    ran = run(f"trap 'echo got; exit 9' {name}; echo ready; {LOOP}")
    assert ran.line() == "ready"
    ran.send(getattr(signal, f"SIG{name}"))
    assert ran.code() == 9
    assert ran.line() == "got"
    assert endings(service) == ["released"]


def test_a_signal_reaches_the_commands_children(run: Run, service: LocalService) -> None:
    ran = run(f"(trap 'echo child; exit' TERM; echo ready; {LOOP}) & wait")
    assert ran.line() == "ready"
    ran.send(signal.SIGTERM)
    assert ran.line() == "child"
    assert ran.code() == 143
    assert endings(service) == ["released"]


def test_the_appid_is_kept_until_the_last_process_of_the_group_has_ended(
    run: Run, service: LocalService, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    ran = run(f"(while [ ! -e {gate} ]; do sleep 0.02; done) & echo $$; exit 3")
    pid = int(ran.line())
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="the command itself has ended")
    assert OUTLIVED in ran.error_line()
    assert endings(service) == [None]
    gate.touch()
    assert ran.code() == 3
    assert endings(service) == ["released"]


def test_a_signal_ends_what_outlived_the_command(run: Run, service: LocalService) -> None:
    ran = run("sleep 60 & exit 0")
    assert OUTLIVED in ran.error_line()
    ran.send(signal.SIGTERM)
    assert ran.code() == 0
    assert endings(service) == ["released"]


def test_no_appid_in_time_exits_with_3(run: Run, service: LocalService) -> None:
    with AppIdClient(service.url) as client:
        client.acquire_appid("p")
    assert run("echo never", "--timeout", "0").code() == 3


def lose_the_lease(service: LocalService) -> None:
    """Set the product anew, which ends its leases. The next heartbeat, after ttl / 3, hears it."""
    with AppIdClient(service.url) as client:
        client.init_product("p", {"a1": "v1"})


def test_with_on_lost_warn_the_command_goes_on(run: Run, service: LocalService) -> None:
    ran = run(f"trap 'exit 5' USR1; echo ready; {LOOP}", "--ttl", "1", "--on-lost", "warn")
    assert ran.line() == "ready"
    lose_the_lease(service)
    assert "warning: a1 of p was lost; sh goes on" in ran.error_line() + ran.error_line()
    ran.send(signal.SIGUSR1)
    assert ran.code() == 5


def test_a_lost_lease_terminates_the_command(run: Run, service: LocalService) -> None:
    ran = run(f"echo ready; {LOOP}", "--ttl", "1")
    assert ran.line() == "ready"
    lose_the_lease(service)
    ended = ran.end()
    assert ended.code == 143 and "terminating sh" in ended.err


def test_a_command_that_ignores_its_termination_is_killed(run: Run, service: LocalService) -> None:
    program = (
        "import sys; from appid_manager_client.cli import main, run; "
        "run.KILL_AFTER = 0.3; sys.exit(main(sys.argv[1:]))"
    )
    ran = run(
        f"trap '' TERM; echo ready; {LOOP}",
        *("--ttl", "1"),
        program=(sys.executable, "-c", program),
    )
    assert ran.line() == "ready"
    lose_the_lease(service)
    assert ran.code() == 137


def test_without_a_terminal_a_stop_is_passed_on_to_the_command_alone(run: Run) -> None:
    # No shell's loop: while its child is stopped before it became another program, a shell only
    # looks asleep.
    program = (
        "import os, signal, sys, time; signal.signal(signal.SIGUSR1, lambda *_: sys.exit(4)); "
        "parent = os.getppid(); print(os.getpid(), flush=True)\n"
        "while os.getppid() == parent: time.sleep(0.02)"
    )
    ran = run(f"exec {sys.executable} -c '{program}'", start_new_session=True)
    pid = int(ran.line())
    ran.send(signal.SIGTSTP)
    wait_until(lambda: is_stopped(pid), what="the command is stopped")
    assert not is_stopped(ran.pid)
    ran.send(signal.SIGCONT)
    wait_until(lambda: not is_stopped(pid), what="the command goes on")
    ran.send(signal.SIGUSR1)
    assert ran.code() == 4


def test_an_ignored_signal_stays_ignored(run: Run, service: LocalService) -> None:
    ignoring = ("sh", "-c", "trap '' HUP; exec \"$@\"", "sh")
    program = (*ignoring, sys.executable, "-m", "appid_manager_client.cli")
    ran = run(f"trap 'exit 6' USR1; echo ready; {LOOP}", program=program)
    assert ran.line() == "ready"
    ran.send(signal.SIGHUP)
    ran.send(signal.SIGUSR1)
    assert ran.code() == 6
    assert endings(service) == ["released"]
