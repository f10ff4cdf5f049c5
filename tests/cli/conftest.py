"""What the tests of the command line share: the command in this process, and as a process of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from appid_manager_client.cli import main
from appid_manager_client.testing import LocalService

TOKEN = "s3cret-token-of-the-tests"


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


Cli = Callable[..., Ran]


@pytest.fixture(scope="module")
def shared_service() -> Iterator[LocalService]:
    """One service for a module; its tests take products of their own."""
    with LocalService(TOKEN) as running:
        running.clock.freeze()
        yield running


@pytest.fixture
def cli(shared_service: LocalService, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command in this process against the shared service."""

    def call(*arguments: str, token: str | None = TOKEN, url: str | None = None) -> Ran:
        os.environ["APPID_MANAGER_URL"] = url or shared_service.url
        os.environ.pop("APPID_MANAGER_TOKEN", None)
        if token is not None:
            os.environ["APPID_MANAGER_TOKEN"] = token
        capsys.readouterr()
        try:
            code = main(list(arguments))
        except SystemExit as end:
            code = int(end.code or 0)
        written = capsys.readouterr()
        assert TOKEN not in written.out + written.err
        return Ran(code, written.out, written.err)

    return call


@pytest.fixture
def spawn() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `appid-manager` as a process; what is left of it at the end is killed."""
    with contextlib.ExitStack() as stack:

        def start(*arguments: str, **options: object) -> subprocess.Popen[str]:
            settings: dict[str, object] = {
                "stdin": subprocess.DEVNULL,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "text": True,
            }
            process: subprocess.Popen[str] = subprocess.Popen(
                [sys.executable, "-m", "appid_manager_client.cli", *arguments],
                **{**settings, **options},  # type: ignore[call-overload]
            )
            stack.callback(_end, process)
            return process

        yield start


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()  # `run` passes it on to its command
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait(20)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
