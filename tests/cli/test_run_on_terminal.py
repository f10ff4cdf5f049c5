"""`appid-manager run` on a terminal: the foreground, Ctrl-C, Ctrl-Z, and jobs of a shell."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from appid_manager_client.testing import LocalService
from tests.cli.command import endings
from tests.cli.terminal import PROMPT, Shell, has_the_terminal
from tests.support.waiting import wait_until


@pytest.fixture
def shell() -> Iterator[Shell]:
    shell = Shell()
    try:
        shell.expect(PROMPT)
        yield shell
    finally:
        shell.close()


@pytest.fixture
def command(service: LocalService) -> str:
    return f"{sys.executable} -m appid_manager_client.cli --url {service.url} run p -- "


def test_the_command_reads_from_the_terminal(shell: Shell, command: str) -> None:
    shell.type(command + "sh -c 'echo rea''dy; read line; echo \"<$line>\"'\n")
    shell.expect("ready")
    shell.type("hello\n")
    shell.expect("<hello>")
    shell.expect(PROMPT)
    shell.type('read x; echo "[$x]"\n')  # the terminal is the shell's again
    shell.type("world\n")
    shell.expect(r"\[world\]")


def test_ctrl_c_ends_the_command_and_gives_the_appid_back(
    shell: Shell, command: str, service: LocalService
) -> None:
    shell.type(command + "sh -c 'echo rea''dy; exec sleep 60'; echo code=$?\n")
    shell.expect("ready")
    shell.type("\x03")
    wait_until(lambda: endings(service) == ["released"], what="the AppID was given back")
    shell.type("\n")
    shell.expect(PROMPT)


def test_ctrl_c_ends_the_script_around_it_too(
    shell: Shell, command: str, service: LocalService
) -> None:
    script = command + "sh -c 'echo rea''dy; exec sleep 60'; echo went on"
    shell.type(f'bash -c "{script}"; echo code=$?\n')
    shell.expect("\nready")
    shell.type("\x03")
    assert "went on" not in shell.skip_to(PROMPT)
    assert endings(service) == ["released"]


def test_a_killed_command_leaves_the_terminal_as_it_was(shell: Shell, command: str) -> None:
    shell.type(command + "sh -c 'stty -echo -icanon; kill -9 $$'\n")
    shell.expect(PROMPT)
    shell.type("stty -a\n")
    modes = shell.skip_to(PROMPT)
    assert " echo " in modes and " icanon " in modes


def test_ctrl_z_stops_the_job_and_fg_continues_it_in_the_foreground(
    shell: Shell, command: str, service: LocalService
) -> None:
    shell.type(command + "sh -c 'echo rea''dy $$; read line; echo \"<$line>\"'\n")
    pid = int(shell.expect(r"ready \d+\r\n").split()[1])
    # The command gets the terminal while it starts. If it reads before that, it is stopped and
    # continued, and the kernel then forgets a stop that is typed in between.
    wait_until(lambda: has_the_terminal(pid), what="the command has the terminal")
    shell.type("\x1a")
    shell.expect("Stopped")
    shell.expect(PROMPT)
    shell.type("fg\n")
    shell.expect("run p")
    shell.type("again\n")
    shell.expect("<again>")
    shell.expect(PROMPT)
    assert endings(service) == ["released"]


def test_in_the_background_a_command_that_reads_the_terminal_stops_until_fg(
    shell: Shell, command: str
) -> None:
    shell.type(command + "sh -c 'read line; echo \"<$line>\"' &\n")
    shell.expect(PROMPT)
    wait_until(lambda: _job_stopped(shell), what="the job stopped for the terminal")
    shell.type("fg\n")
    shell.expect("run p")
    shell.type("now\n")
    shell.expect("<now>")


def _job_stopped(shell: Shell) -> bool:
    shell.type("jobs\n")
    return "Stopped" in shell.expect(rf"jobs\r\n(.|\n)*{PROMPT}")
