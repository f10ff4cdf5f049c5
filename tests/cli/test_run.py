"""`appid-manager run` with real commands: exit codes, signals, what outlives the command, a lost lease, a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appid_manager_client import AppIdClient
from appid_manager_client.testing import LocalService
from tests.support.field import FIELD_TOKEN, FieldService
from tests.support.waiting import PATIENCE, wait_until

# Goes on until the test, or `run` itself, has ended: a test that fails leaves no process behind.
LOOP = "while kill -0 $PPID 2>/dev/null; do sleep 0.02; done"

Spawn = Callable[..., subprocess.Popen[str]]
Run = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def service() -> Iterator[LocalService]:
    with LocalService() as running, AppIdClient(running.url) as client:
        client.init_product("p", {"a1": "v1"})
        yield running


@pytest.fixture
def run(spawn: Spawn, service: LocalService) -> Run:
    """Starts `appid-manager run p OPTIONS -- COMMAND`; the command is a shell script."""

    def start(script: str, *options: str, **more: object) -> subprocess.Popen[str]:
        command = ("sh", "-c", script)
        return spawn("--url", service.url, "run", "p", *options, "--", *command, **more)

    return start


def _ended(service: LocalService) -> list[str | None]:
    return [lease["ended"] for lease in service.history("p")]


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_the_command_has_the_appid_in_its_environment(run: Run, service: LocalService) -> None:
    ran = run('echo "$APPID $APPID_VID $APPID_START_TIME $APPID_PRODUCT"')
    out, err = ran.communicate(timeout=PATIENCE)
    (lease,) = service.history("p")
    assert (ran.returncode, err) == (0, "")
    assert out.split() == ["a1", "v1", str(lease["starttime"]), "p"]
    assert lease["ended"] == "released"


@pytest.mark.parametrize(
    ("script", "code"), [("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)]
)
def test_the_exit_code_is_the_commands_own(
    run: Run, service: LocalService, script: str, code: int
) -> None:
    assert run(script).wait(PATIENCE) == code
    assert _ended(service) == ["released"]


@pytest.mark.parametrize(
    ("command", "code", "complaint"),
    [
        ("no-such-command", 127, "no-such-command: command not found"),
        ("/no/such/command", 127, "/no/such/command: command not found"),
        ("/", 126, "/: is a directory"),
    ],
)
def test_a_command_that_can_not_be_run_spends_no_appid(
    spawn: Spawn, service: LocalService, command: str, code: int, complaint: str
) -> None:
    ran = spawn("--url", service.url, "run", "p", "--", command)
    assert ran.communicate(timeout=PATIENCE) == ("", f"appid-manager: {complaint}\n")
    assert ran.returncode == code
    assert _ended(service) == []


def test_a_file_that_is_not_executable_spends_no_appid(
    spawn: Spawn, service: LocalService, tmp_path: Path
) -> None:
    file = tmp_path / "tool"
    file.write_text("#!/bin/sh\n")
    environment = {**os.environ, "PATH": str(tmp_path)}
    ran = spawn("--url", service.url, "run", "p", "--", "tool", env=environment)
    assert ran.wait(PATIENCE) == 126
    assert _ended(service) == []


def test_a_program_that_the_system_refuses_gives_its_appid_back(
    spawn: Spawn, service: LocalService, tmp_path: Path
) -> None:
    file = tmp_path / "tool"
    file.write_bytes(b"\x7fELF but not really")
    file.chmod(0o755)
    ran = spawn("--url", service.url, "run", "p", "--", str(file))
    assert ran.wait(PATIENCE) == 126
    assert _ended(service) == ["released"]


def test_the_command_is_no_shell_line(spawn: Spawn, service: LocalService) -> None:
    ran = spawn("--url", service.url, "run", "p", "--", "echo", "$APPID; --", "*", "--x")
    assert ran.communicate(timeout=PATIENCE)[0] == "$APPID; -- * --x\n"


def test_a_token_given_as_an_option_does_not_reach_the_command(spawn: Spawn) -> None:
    with LocalService("top-s3cret") as service:
        with AppIdClient(service.url, auth_token="top-s3cret") as client:
            client.init_product("p", {"a1": 1})
        ran = spawn("--url", service.url, "--token", "top-s3cret", "run", "p", "--", "env")
        out, err = ran.communicate(timeout=PATIENCE)
    assert ran.returncode == 0
    assert "top-s3cret" not in out + err


def test_the_holder_says_host_process_and_command(run: Run, service: LocalService) -> None:
    ran = run("true")
    ran.wait(PATIENCE)
    assert service.history("p")[0]["holder"] == f"{os.uname().nodename} {ran.pid} sh"


def test_a_holder_can_be_given(run: Run, service: LocalService) -> None:
    run("true", "--holder", "nightly billing").wait(PATIENCE)
    assert service.history("p")[0]["holder"] == "nightly billing"


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2"])
def test_a_signal_goes_on_to_the_command(run: Run, service: LocalService, name: str) -> None:
    ran = run(f"trap 'echo got; exit 9' {name}; echo ready; {LOOP}")
    assert _line(ran) == "ready"
    ran.send_signal(getattr(signal, f"SIG{name}"))
    assert ran.wait(PATIENCE) == 9
    assert _line(ran) == "got"
    assert _ended(service) == ["released"]


def test_a_signal_reaches_what_the_command_started_too(run: Run, service: LocalService) -> None:
    ran = run(f"(trap 'echo child; exit' TERM; echo ready; {LOOP}) & wait")
    assert _line(ran) == "ready"
    ran.send_signal(signal.SIGTERM)
    assert _line(ran) == "child"
    assert ran.wait(PATIENCE) == 143
    assert _ended(service) == ["released"]


def test_the_appid_is_kept_until_the_last_process_of_the_group_has_ended(
    run: Run, service: LocalService, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    script = f"(while [ ! -e {gate} ]; do sleep 0.02; done) & echo $$; exit 3"
    ran = run(script)
    pid = int(_line(ran))
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="the command itself has ended")
    assert ran.stderr is not None
    assert "processes that it started have not" in ran.stderr.readline()
    assert _ended(service) == [None]
    gate.touch()
    assert ran.wait(PATIENCE) == 3
    assert _ended(service) == ["released"]


def test_a_signal_ends_what_outlived_the_command(run: Run, service: LocalService) -> None:
    ran = run("sleep 60 & exit 0")
    assert ran.stderr is not None
    assert "processes that it started have not" in ran.stderr.readline()
    ran.send_signal(signal.SIGTERM)
    assert ran.wait(PATIENCE) == 0
    assert _ended(service) == ["released"]


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT", "USR1"])
def test_a_signal_while_waiting_gives_up(spawn: Spawn, name: str) -> None:
    number = getattr(signal, f"SIG{name}")
    with FieldService() as service:
        service.init("p", {"a1": 1})
        service.model.acquire({"productName": "p"})
        globals_ = ("--url", service.url, "--token", FIELD_TOKEN)
        waiting = spawn(*globals_, "run", "p", "--", "true")
        wait_until(lambda: service.calls_of("status"), what="the acquire was told to wait")
        waiting.send_signal(number)
        assert waiting.communicate(timeout=PATIENCE) == ("", "")
        assert waiting.returncode == 128 + number


def test_a_signal_while_the_acquire_is_on_the_wire_gives_back_what_it_gets(spawn: Spawn) -> None:
    with FieldService() as service:
        service.init("p", {"a1": 1})
        hold = service.hold("acquire")
        waiting = spawn("--url", service.url, "--token", FIELD_TOKEN, "run", "p", "--", "true")
        wait_until(lambda: service.calls_of("acquire"), what="the acquire is on the wire")
        waiting.send_signal(signal.SIGTERM)
        hold.release()
        assert waiting.wait(PATIENCE) == 143
        assert service.in_use() == []


def test_no_appid_in_time_exits_with_3(run: Run, service: LocalService) -> None:
    with AppIdClient(service.url) as client:
        client.acquire_appid("p")
    assert run("echo never", "--timeout", "0").wait(PATIENCE) == 3


def test_a_lost_lease_is_told_and_the_command_goes_on(run: Run, service: LocalService) -> None:
    ran = run(f"trap 'exit 5' USR1; echo ready; {LOOP}", "--ttl", "1")
    assert _line(ran) == "ready"
    _lose(service)
    assert ran.stderr is not None
    told = ran.stderr.readline() + ran.stderr.readline()
    assert "warning: a1 of p was lost; sh goes on" in told
    ran.send_signal(signal.SIGUSR1)
    assert ran.wait(PATIENCE) == 5


def test_a_lost_lease_can_terminate_the_command(run: Run, service: LocalService) -> None:
    ran = run(f"echo ready; {LOOP}", "--ttl", "1", "--on-lost", "terminate")
    assert _line(ran) == "ready"
    _lose(service)
    assert ran.wait(PATIENCE) == 143
    assert ran.stderr is not None and "terminating sh" in ran.stderr.read()


def test_a_command_that_ignores_its_termination_is_killed(service: LocalService) -> None:
    program = (
        "import sys; from appid_manager_client.cli import main, running; "
        "running.KILL_AFTER = 0.3; sys.exit(main(sys.argv[1:]))"
    )
    script = f"trap '' TERM; echo ready; {LOOP}"
    options = ("--ttl", "1", "--on-lost", "terminate", "--", "sh", "-c", script)
    with subprocess.Popen(
        [sys.executable, "-c", program, "--url", service.url, "run", "p", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as ran:
        assert _line(ran) == "ready"
        _lose(service)
        assert ran.wait(PATIENCE) == 137


def test_without_a_terminal_a_stop_goes_on_to_the_command_alone(
    run: Run, service: LocalService
) -> None:
    # No shell's loop: while its child is stopped before it became another program, a shell only looks asleep.
    program = (
        "import os, signal, sys, time; signal.signal(signal.SIGUSR1, lambda *_: sys.exit(4)); "
        "parent = os.getppid(); print(os.getpid(), flush=True)\n"
        "while os.getppid() == parent: time.sleep(0.02)"
    )
    ran = run(f"exec {sys.executable} -c '{program}'", start_new_session=True)
    pid = int(_line(ran))
    ran.send_signal(signal.SIGTSTP)
    wait_until(lambda: _state(pid) == "T", what="the command is stopped")
    assert _state(ran.pid) != "T"
    ran.send_signal(signal.SIGCONT)
    wait_until(lambda: _state(pid) != "T", what="the command goes on")
    ran.send_signal(signal.SIGUSR1)
    assert ran.wait(PATIENCE) == 4


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command's name: state, parent, group, session, terminal, its group, ..."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _state(pid: int) -> str:
    return _stat(pid)[0]


def _has_the_terminal(pid: int) -> bool:
    state, _, group, _, _, foreground = _stat(pid)[:6]
    return state == "S" and group == foreground


def test_a_signal_that_was_ignored_stays_ignored(service: LocalService) -> None:
    run = f"{sys.executable} -m appid_manager_client.cli --url {service.url} run p --"
    inner = f"trap 'exit 6' USR1; echo ready; {LOOP}"
    with subprocess.Popen(
        ["sh", "-c", f"trap '' HUP; exec {run} sh -c \"{inner}\""],
        stdout=subprocess.PIPE,
        text=True,
    ) as ran:
        assert _line(ran) == "ready"
        ran.send_signal(signal.SIGHUP)
        ran.send_signal(signal.SIGUSR1)
        assert ran.wait(PATIENCE) == 6
    assert _ended(service) == ["released"]


def _lose(service: LocalService) -> None:
    """Set the product anew, which ends its leases; the next heartbeat, a third of the ttl away, hears of it."""
    with AppIdClient(service.url) as client:
        client.init_product("p", {"a1": "v1"})


class Shell:
    """An interactive shell with job control, on a terminal of its own."""

    def __init__(self) -> None:
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.execve("/bin/bash", ["bash", "--norc", "--noprofile", "-i"], _shell_environment())
        self.shown = self.matched = ""

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def expect(self, pattern: str) -> str:
        """Read until `pattern` is shown, and forget everything up to there; gives what matched."""
        self.skip_to(pattern)
        return self.matched

    def skip_to(self, pattern: str) -> str:
        """The same; gives what was shown before the match."""
        deadline = time.monotonic() + PATIENCE
        while (found := re.search(pattern, self.shown)) is None:
            left = deadline - time.monotonic()
            assert left > 0, f"no {pattern!r} in {self.shown!r}"
            if select.select([self.master], [], [], left)[0]:
                self.shown += os.read(self.master, 4096).decode(errors="replace")
        before, self.matched = self.shown[: found.start()], found.group()
        self.shown = self.shown[found.end() :]
        return before

    def close(self) -> None:
        os.close(self.master)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def _shell_environment() -> dict[str, str]:
    return {
        **os.environ,
        "PS1": "PROMPT> ",
        "TERM": "dumb",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }


@pytest.fixture
def shell() -> Iterator[Shell]:
    with_terminal = Shell()
    try:
        with_terminal.expect("PROMPT> ")
        yield with_terminal
    finally:
        with_terminal.close()


@pytest.fixture
def command(service: LocalService) -> str:
    return f"{sys.executable} -m appid_manager_client.cli --url {service.url} run p -- "


def test_the_command_reads_from_the_terminal(shell: Shell, command: str) -> None:
    shell.type(command + "sh -c 'echo rea''dy; read line; echo \"<$line>\"'\n")
    shell.expect("ready")
    shell.type("hello\n")
    shell.expect("<hello>")
    shell.expect("PROMPT> ")
    shell.type('read x; echo "[$x]"\n')  # the terminal is the shell's again
    shell.type("world\n")
    shell.expect(r"\[world\]")


def test_ctrl_c_on_the_terminal_ends_the_command_and_gives_the_appid_back(
    shell: Shell, command: str, service: LocalService
) -> None:
    shell.type(command + "sh -c 'echo rea''dy; exec sleep 60'; echo code=$?\n")
    shell.expect("ready")
    shell.type("\x03")
    wait_until(lambda: _ended(service) == ["released"], what="the AppID was given back")
    shell.type("\n")
    shell.expect("PROMPT> ")


def test_ctrl_c_on_the_terminal_ends_the_script_around_it_too(
    shell: Shell, command: str, service: LocalService
) -> None:
    script = command + "sh -c 'echo rea''dy; exec sleep 60'; echo went on"
    shell.type(f'bash -c "{script}"; echo code=$?\n')
    shell.expect("\nready")
    shell.type("\x03")
    assert "went on" not in shell.skip_to(r"PROMPT> ")
    assert _ended(service) == ["released"]


def test_a_command_that_was_killed_leaves_the_terminal_as_it_was(
    shell: Shell, command: str, service: LocalService
) -> None:
    shell.type(command + "sh -c 'stty -echo -icanon; kill -9 $$'\n")
    shell.expect("PROMPT> ")
    shell.type("stty -a\n")
    modes = shell.skip_to("PROMPT> ")
    assert " echo " in modes and " icanon " in modes


def test_ctrl_z_stops_the_job_and_fg_has_it_go_on_in_the_foreground(
    shell: Shell, command: str, service: LocalService
) -> None:
    shell.type(command + "sh -c 'echo rea''dy $$; read line; echo \"<$line>\"'\n")
    pid = int(shell.expect(r"ready \d+\r\n").split()[1])
    # The terminal is handed over while the command starts. One that reads before is stopped and made to go on, and the
    # kernel then forgets a stop that is typed in between.
    wait_until(lambda: _has_the_terminal(pid), what="the command has the terminal")
    shell.type("\x1a")
    shell.expect("Stopped")
    shell.expect("PROMPT> ")
    shell.type("fg\n")
    shell.expect("run p")
    shell.type("again\n")
    shell.expect("<again>")
    shell.expect("PROMPT> ")
    assert _ended(service) == ["released"]


def test_in_the_background_a_command_that_reads_the_terminal_stops_until_fg(
    shell: Shell, command: str
) -> None:
    shell.type(command + "sh -c 'read line; echo \"<$line>\"' &\n")
    shell.expect("PROMPT> ")
    wait_until(lambda: _job_stopped(shell), what="the job stopped for the terminal")
    shell.type("fg\n")
    shell.expect("run p")
    shell.type("now\n")
    shell.expect("<now>")


def _job_stopped(shell: Shell) -> bool:
    shell.type("jobs\n")
    return "Stopped" in shell.expect(r"jobs\r\n(.|\n)*PROMPT> ")
