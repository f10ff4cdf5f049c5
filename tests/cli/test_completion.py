"""`appid-manager completion`: what the shells themselves offer with the scripts that it prints."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from appid_manager_client.cli.program import COMMANDS
from tests.cli.command import Cli, Spawn
from tests.cli.terminal import PROMPT, Shell
from tests.support.waiting import PATIENCE


def need(shell: str) -> str:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"no {shell} here")
    return found


@pytest.fixture
def script(cli: Cli, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The script for the shell that is the test's parameter."""
    ran = cli("completion", request.param)
    assert (ran.code, ran.err) == (0, "")
    file = tmp_path / f"completion.{request.param}"
    file.write_text(ran.out)
    return file


def offered(shell: str, program: str) -> set[str]:
    environment = {**os.environ, "HOME": "/nonexistent", "TERM": "dumb"}
    command = [need(shell), *(["--norc"] if shell == "bash" else []), "-c", program]
    ran = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, env=environment, check=True
    )
    return {line.split("\t")[0] for line in ran.stdout.splitlines()}


BASH = """
source {script}
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
COMP_LINE="${{COMP_WORDS[*]}}"; COMP_POINT=${{#COMP_LINE}}
function_of=$(complete -p appid-manager | sed 's/.*-F \\([^ ]*\\).*/\\1/')
$function_of appid-manager "${{COMP_WORDS[-1]}}" "${{COMP_WORDS[-2]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize("script", ["bash"], indirect=True)
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("appid-manager ''", set(COMMANDS)),
        ("appid-manager acq", {"acquire"}),
        ("appid-manager acquire --ho", {"--holder"}),
        ("appid-manager acquire --js", {"--json"}),
        ("appid-manager run --on-lost ''", {"terminate", "warn"}),
        ("appid-manager completion ''", {"bash", "zsh", "fish"}),
    ],
)
def test_bash_offers_commands_options_and_values(
    script: Path, words: str, expected: set[str]
) -> None:
    assert expected <= offered("bash", BASH.format(script=script, words=words))


@pytest.mark.parametrize("script", ["fish"], indirect=True)
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("appid-manager ", set(COMMANDS)),
        ("appid-manager acquire --ho", {"--holder"}),
        ("appid-manager run --on-lost ", {"terminate", "warn"}),
    ],
)
def test_fish_offers_commands_options_and_values(
    script: Path, line: str, expected: set[str]
) -> None:
    assert expected <= offered("fish", f'source {script}; complete --do-complete "{line}"')


@pytest.mark.parametrize("script", ["zsh"], indirect=True)
def test_zsh_completes_commands_and_options(script: Path, tmp_path: Path) -> None:
    (tmp_path / "_appid-manager").write_bytes(script.read_bytes())
    with contextlib.closing(Shell(need("zsh"), "-f", "-i")) as shell:
        shell.expect(PROMPT)
        shell.type(f"fpath=({tmp_path} $fpath); autoload -Uz compinit; compinit -u -D\n")
        shell.expect(PROMPT)
        shell.type("appid-manager comp\t")
        shell.expect("appid-manager completion")
        shell.type("\x15appid-manager acquire --hol\t")
        shell.expect("--holder  -- who holds the AppID")


@pytest.mark.parametrize("script", ["bash", "zsh", "fish"], indirect=True)
def test_every_command_is_in_the_script(script: Path) -> None:
    content = script.read_text()
    assert all(command in content for command in COMMANDS)


def test_without_the_extra_one_line_says_what_to_install(spawn: Spawn) -> None:
    program = (
        "import sys; sys.modules['shtab'] = None; "
        "from appid_manager_client.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    ran = spawn("completion", "bash", program=(sys.executable, "-c", program)).end()
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert 'pip install "appid-manager-client[completion]"' in ran.err
