"""The recipes of task queues and schedulers, each with a real worker and no broker but its own."""

from __future__ import annotations

import datetime
import re
from typing import Any

import pytest

from tests.support.waiting import wait_until

from .conftest import World


def test_dramatiq(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    import dramatiq
    from dramatiq.brokers.stub import StubBroker

    broker = StubBroker()
    dramatiq.set_broker(broker)
    module = world.load("dramatiq")
    worker = dramatiq.Worker(broker, worker_timeout=50, worker_threads=2)
    worker.start()
    try:
        module.transcribe.send("a.wav")
        broker.join(module.transcribe.queue_name)
        assert re.search(r"a\.wav billed to a0", capsys.readouterr().out)
        world.take_all()
        module.transcribe.send("b.wav")
        wait_until(lambda: held_back(worker), what="the message waits for the turn")
    finally:
        worker.stop()
    assert world.used == 6


def test_an_actor_of_dramatiq_may_be_decorated_itself(world: World) -> None:
    import dramatiq
    from dramatiq.brokers.stub import StubBroker

    from appid_manager_client import INJECTED, Lease, uses_appid

    broker = StubBroker()
    billed: list[str] = []

    @dramatiq.actor(broker=broker)
    @uses_appid("stt_billing")
    def transcribe(recording: str, *, lease: Lease = INJECTED) -> None:
        billed.append(f"{recording} billed to {lease.appid}")

    worker = dramatiq.Worker(broker, worker_timeout=50, worker_threads=1)
    worker.start()
    try:
        transcribe.send("a.wav")
        broker.join(transcribe.queue_name)
        worker.join()
    finally:
        worker.stop()
    assert billed == ["a.wav billed to a0"]
    assert world.used == 1


def held_back(worker: Any) -> bool:
    """Whether a message was put back for later."""
    return any(consumer.delay_queue.qsize() for consumer in worker.consumers.values())


def test_huey(world: World) -> None:
    module = world.load("huey")
    consumer = module.huey.create_consumer(workers=2, worker_type="thread", periodic=False)
    consumer.start()
    try:
        result = module.transcribe("a.wav")
        assert result.get(blocking=True, timeout=30) == "a.wav billed to a0"
    finally:
        consumer.stop(graceful=True)
    assert world.used == 1


def test_taskiq(world: World) -> None:
    assert world.run("taskiq") == "a.wav billed to a0\n"
    assert world.used == 1


def test_apscheduler(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    from apscheduler.util import obj_to_ref, ref_to_obj

    module = world.load("APScheduler")
    assert ref_to_obj(obj_to_ref(module.transcribe)) is module.transcribe, "for stores on disk"
    try:
        (job,) = module.scheduler.get_jobs()
        job.modify(next_run_time=datetime.datetime.now(datetime.timezone.utc))
        wait_until(lambda: "used_in_current_hour" in world.states, what="the job has run")
    finally:
        module.scheduler.shutdown(wait=True)
    assert capsys.readouterr().out == "a.wav billed to a0\n"
    assert world.used == 1
