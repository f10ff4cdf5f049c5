"""Who a process says it is, as whom and however it was started."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from appid_manager_client.runtime.identity import MAX_HOLDER, default_holder

SHOW = "from appid_manager_client.runtime.identity import default_holder as d; print(d())"
ROOT = Path(__file__).resolve().parents[3]


def run(*arguments: str, **options: Any) -> tuple[str, int]:
    """What a Python process with these arguments says, and its process id."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    with subprocess.Popen(
        [sys.executable, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        **options,
    ) as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return output.rstrip("\n"), process.pid


def test_it_is_user_host_process_and_program(tmp_path: Path) -> None:
    script = tmp_path / "nightly.py"
    script.write_text(SHOW)
    said, pid = run(str(script), "--password", "secret")
    user = pwd.getpwuid(os.geteuid()).pw_name
    assert said == f"{user}@{socket.gethostname()}:{pid} nightly.py"


def test_a_module_is_named_as_it_was_started(tmp_path: Path) -> None:
    package = tmp_path / "billing" / "nightly"
    package.mkdir(parents=True)
    for file in (tmp_path / "billing" / "__init__.py", package / "__init__.py"):
        file.write_text("")
    (package / "__main__.py").write_text(SHOW)
    (package / "job.py").write_text(SHOW)
    assert run("-m", "billing.nightly", cwd=tmp_path)[0].endswith(" billing.nightly")
    assert run("-m", "billing.nightly.job", cwd=tmp_path)[0].endswith(" billing.nightly.job")


def test_a_program_without_a_file_is_python() -> None:
    assert run("-c", SHOW)[0].endswith(f" {Path(sys.executable).name}")
    assert run("-c", f"import sys; del sys.argv; {SHOW}")[0].endswith(Path(sys.executable).name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without a name")
def test_a_user_without_a_name_is_its_uid() -> None:
    load, show = SHOW.split("; ")
    said, pid = run("-c", f"import os, pwd; {load}; os.setuid(54321); {show}")
    assert said.startswith(f"54321@{socket.gethostname()}:{pid} ")


def test_a_forked_child_has_its_own_process_id() -> None:
    fork = (
        "import os; from appid_manager_client.runtime.identity import default_holder as d; d()\n"
        "if os.fork() == 0: print(os.getpid(), d(), flush=True); os._exit(0)\n"
        "os.wait()"
    )
    pid, _, said = run("-c", fork)[0].partition(" ")
    assert f":{pid} " in said


def test_it_is_made_once_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    first = default_holder()
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    assert default_holder() is first


@pytest.mark.parametrize("name", ["x" * 250 + ".py", "ev\nil\x1b[2J.py", "caf\udce9.py"])
def test_any_name_of_a_program_can_be_sent_and_shown(name: str) -> None:
    said, _ = run("-c", f"import sys; sys.argv = [{name!r}]; {SHOW}")
    assert len(said) <= MAX_HOLDER
    assert said.isprintable()
