"""The table of exits: who releases a task's AppID, by the way it ends and the kind of its worker.

It says in detail what the tables of docs/celery.md and docs/rq.md say. "-" stands for what a kind
of worker doesn't know, or where nothing else could happen.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import zip_longest
from typing import Any

import pytest
from packaging.version import Version
from rq.command import send_kill_horse_command, send_stop_job_command

from tests.support.leftovers import is_alive
from tests.support.waiting import wait_until

from .queues import CeleryWorker, RqWorker, SentJob
from .scenes import Scene
from .workers import parent_of

OF_A_TASK = """
celery             prefork     spawn       threads     solo        gevent
return             body        body        body        body        body
raise              body        body        body        body        body
retry              body        body        body        body        body
reject             body        body        body        body        body
ignore             body        body        body        body        body
replace            body        body        body        body        body
exit               body        body        body        -           body
_exit              sweep       sweep       -           -           -
_exit, plain       sweep       sweep       -           -           -
kill               sweep       sweep       -           -           -
kill, plain        sweep       sweep       -           -           -
revoke TERM        body        body        -           -           body
revoke KILL        sweep       sweep       -           -           body
soft limit         body        body        held        held        -
hard limit         any         any         held        held        body

rq                 rq          rq-spawn    rq-simple   pool        pool-spawn
return             body        body        body        body        body
return, plain      body        body        body        body        body
raise              body        body        body        body        body
raise, plain       body        body        body        body        body
exit               body        body        body        body        body
exit, plain        body        body        body        body        body
retry              body        body        body        -           -
retry, plain       body        body        body        -           -
_exit              sweep       sweep       -           sweep       sweep
_exit, plain       sweep       sweep       -           sweep       sweep
kill               sweep       sweep       -           sweep       sweep
kill, plain        sweep       sweep       -           sweep       sweep
terminate          body        body        -           body        body
terminate, plain   body        body        -           body        body
timeout            body        body        body        -           -
swallowed timeout  body        body        body        -           -
stop job           sweep       sweep       -           sweep       sweep
kill horse         sweep       sweep       -           -           -
"""
"""Exits after which the worker lives on.

body: the process of the body releases the AppID, at once.
sweep: that process is dead, and the worker releases it.
any: one of the two, whichever is first.
held: the exit has no effect; the body releases it at its own end.
"""

if Version(version("rq")) < Version("3"):
    # There, SIGTERM ends a spawned work-horse at once, unless its job is an `appid_job`.
    OF_A_TASK = OF_A_TASK.replace(
        "terminate, plain   body        body        -           body        body",
        "terminate, plain   body        sweep       -           body        sweep",
    )

OF_A_WORKER = """
celery             prefork     spawn       threads     solo        gevent
TERM               held        held        held        held        held
TERM TERM          held        held        held        held        held
QUIT               any         any         held        any         any
INT INT            any         any         held        any         any
INT INT INT        any         any         held        any         any
exit               -           -           -           ended       -
_exit              -           -           next        next        next
kill               -           -           next        next        next
KILL               next        next        next        next        next

rq                 rq          rq-spawn    rq-simple   pool        pool-spawn  pool-simple
TERM               held        held        held        held        held        held
INT                held        held        held        -           -           -
TERM, repeated     ended       ended       ended       ended       ended       ended
INT, repeated      ended       ended       ended       -           -           -
KILL               orphan      orphan      -           orphan      orphan      orphan
KILL one of pool   -           -           -           orphan      orphan      sweep
KILL all           next        next        next        -           -           -
"""
"""Exits that end the worker, or the process that was started as one.

held: the worker ends when the body ends, which releases the AppID.
any: it is released without the body's own end.
ended: it is released when the worker has ended.
orphan: the body goes on without its worker, and releases it at its own end.
sweep: what is left of the worker releases it.
next: the worker that starts next releases it.
"""


@dataclass(frozen=True)
class Exit:
    """One way to end.

    Attributes:
        name: as in the table, with its queue.
        bring_about: ends the task of a scene, or its worker; gets the cell of the table too.
        task: the task that is ended.
        options: to send it with.
    """

    name: str
    bring_about: Callable[[Scene, str], None]
    task: str = "hold"
    options: dict[str, int] = field(default_factory=dict)


def cells(table: str, *wanted: str) -> list[Any]:
    """Those cells of a table that hold one of these words, as parameters `(exit, kind, cell)`."""
    found = []
    for block in table.strip().split("\n\n"):
        (queue, *kinds), *rows = (re.split(r" {2,}", line) for line in block.splitlines())
        for name, *row in rows:
            assert len(row) == len(kinds), f"{name}: {row}"
            found += [
                pytest.param(exit_named(queue, name), kind, cell, id=f"{kind}-{name}")
                for kind, cell in zip(kinds, row)
                if cell in wanted
            ]
    return found


def exit_named(queue: str, name: str) -> Exit:
    if name in EXITS[queue]:
        return EXITS[queue][name]
    word, _, plain = name.partition(", ")
    if word == "retry":
        return Exit(name, _retry, "plainly_decorated" if plain else "hold")
    return Exit(name, _say(word), "plainly_decorated" if plain else "hold")


# --- how exits of tasks are brought about


def _say(word: str) -> Callable[[Scene, str], None]:
    return lambda scene, cell: scene.say(word)


def _retry(scene: Scene, cell: str) -> None:
    scene.say("retry")
    scene.started()
    scene.say("return")


def _revoke(number: str) -> Callable[[Scene, str], None]:
    def revoke(scene: Scene, cell: str) -> None:
        assert isinstance(scene.worker, CeleryWorker)
        scene.worker.revoke(scene.sent, number)

    return revoke


def _soft_limit(scene: Scene, cell: str) -> None:
    if cell == "held":
        _time_limit(scene, cell)
    else:
        assert scene.started()["softly"]


def _time_limit(scene: Scene, cell: str) -> None:
    """Wait, where the limit has no effect, until it has passed."""
    if cell == "held":
        end = time.monotonic() + 1.5
        wait_until(lambda: time.monotonic() > end, what="the task's time is up")


def _job_command(send: Callable[[RqWorker, SentJob], None]) -> Callable[[Scene, str], None]:
    def command(scene: Scene, cell: str) -> None:
        assert isinstance(scene.worker, RqWorker) and isinstance(scene.sent, SentJob)
        send(scene.worker, scene.sent)

    return command


def _stop_job(worker: RqWorker, sent: SentJob) -> None:
    send_stop_job_command(worker.connection, sent.id)


def _kill_horse(worker: RqWorker, sent: SentJob) -> None:
    sent.job.refresh()  # it knows its worker now
    send_kill_horse_command(worker.connection, str(sent.job.worker_name))


# --- how exits of workers are brought about


def _signals(names: str, *answers: str) -> Callable[[Scene, str], None]:
    """Send signals, each after the worker has logged its answer to the one before."""

    def send(scene: Scene, cell: str) -> None:
        for name, answer in zip_longest(names.split(), answers):
            scene.worker.process.signal(signal.Signals[f"SIG{name}"])
            if answer is not None:
                scene.worker.process.wait_for_log(answer)

    return send


def _repeated(name: str) -> Callable[[Scene, str], None]:
    """Send a signal until the worker ends: RQ takes no second one within a second of the first."""

    def send(scene: Scene, cell: str) -> None:
        def ended() -> bool:
            scene.worker.process.signal(signal.Signals[f"SIG{name}"])
            return not scene.worker.process.alive

        wait_until(ended, what="the worker ends")

    return send


def _kill(scene: Scene, cell: str) -> None:
    scene.worker.process.signal(signal.SIGKILL)
    scene.worker.process.wait_for_end()
    if isinstance(scene.worker, CeleryWorker):
        # The kernel kills a worker's children with it: none is left to end its body.
        wait_until(lambda: not is_alive(scene.facts["pid"]), what="the body's process ends")


def _kill_one_of_pool(scene: Scene, cell: str) -> None:
    body = scene.facts["pid"]
    worker = body if scene.worker.kind == "pool-simple" else parent_of(body)
    os.kill(worker, signal.SIGKILL)
    scene.worker.process.wait_for_log(f"with pid {worker} is dead")


WARM = "worker: Warm shutdown (MainProcess)"
COLD = "worker: Hitting Ctrl+C again will terminate all running tasks!"

EXITS: dict[str, dict[str, Exit]] = {
    queue: {exit.name: exit for exit in exits}
    for queue, exits in {
        "celery": [
            Exit("revoke TERM", _revoke("TERM")),
            Exit("revoke KILL", _revoke("KILL")),
            Exit("soft limit", _soft_limit, options={"soft_time_limit": 1}),
            Exit("hard limit", _time_limit, options={"time_limit": 1}),
            Exit("TERM", _signals("TERM", WARM)),
            Exit("TERM TERM", _signals("TERM TERM", WARM, WARM)),
            Exit("QUIT", _signals("QUIT", COLD)),
            Exit("INT INT", _signals("INT INT", WARM, COLD)),
            Exit("INT INT INT", _signals("INT INT INT", WARM, COLD)),
            Exit("KILL", _kill),
        ],
        "rq": [
            Exit("timeout", _time_limit, options={"job_timeout": 1}),
            Exit(
                "swallowed timeout", _time_limit, "swallow_the_timeout", options={"job_timeout": 1}
            ),
            Exit("stop job", _job_command(_stop_job)),
            Exit("kill horse", _job_command(_kill_horse)),
            Exit("TERM", _signals("TERM")),
            Exit("INT", _signals("INT")),
            Exit("TERM, repeated", _repeated("TERM")),
            Exit("INT, repeated", _repeated("INT")),
            Exit("KILL", _kill),
            Exit("KILL one of pool", _kill_one_of_pool),
            Exit("KILL all", lambda scene, cell: scene.worker.process.kill_all()),
        ],
    }.items()
}
