"""`appid-manager demo`, which judges itself by the history of its service."""

from __future__ import annotations

import signal

from tests.cli.command import Spawn


def test_the_demo_ends_with_ok(spawn: Spawn) -> None:
    ended = spawn("demo").end(timeout=90)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.endswith("no AppID twice in an hour, none in use: ok\n")


def test_the_demo_can_be_interrupted(spawn: Spawn) -> None:
    demo = spawn("demo")
    while "has appid" not in demo.line():
        assert demo.running
    demo.send(signal.SIGINT)
    ended = demo.end()
    assert ended.code == 130
    assert "Traceback" not in ended.err
