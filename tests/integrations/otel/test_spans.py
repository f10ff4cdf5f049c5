"""Spans with the real SDK: what is traced, and whose child it is."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest
import requests
from appid_manager_client.integrations.otel import instrument, uninstrument
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from appid_manager_client import AppIdClient, NoAppIdAvailable
from tests.support.faults import Fault
from tests.support.services import AnyService, hasty_client
from tests.support.waiting import wait_until


class Recorder:
    """The spans that ended, and a tracer for the test's own.

    A process has one tracer for all of its clients, also for those that an earlier test left with
    something to release. So of the spans that name a service, only those of `service` count.
    """

    def __init__(self, service: str) -> None:
        self._service = service
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("test")

    def spans(self, name: str) -> list[ReadableSpan]:
        return [
            span
            for span in self._exporter.get_finished_spans()
            if span.name == name
            and (span.attributes or {}).get("appid_manager.service", self._service) == self._service
        ]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.spans(name)
        return span


@pytest.fixture
def recorder(any_service: AnyService) -> Iterator[Recorder]:
    recorder = Recorder(any_service.url)
    instrument(recorder.provider)
    yield recorder
    uninstrument()


@pytest.fixture
def client(any_service: AnyService) -> Iterator[AppIdClient]:
    any_service.init("p", {"a": 1})
    with hasty_client(any_service, session_factory=requests.Session) as client:
        yield client


def is_child(span: ReadableSpan, parent: ReadableSpan) -> bool:
    assert parent.context is not None
    return span.parent is not None and span.parent.span_id == parent.context.span_id


def in_a_block(client: AppIdClient) -> None:
    with client.lease("p"):
        pass


def in_a_coroutine(client: AppIdClient) -> None:
    async def run() -> None:
        async with client.lease("p"):
            pass

    asyncio.run(run())


@pytest.mark.parametrize("use", [in_a_block, in_a_coroutine])
def test_acquire_lease_and_release_are_children_of_the_callers_span(
    recorder: Recorder, any_service: AnyService, client: AppIdClient, use: object
) -> None:
    assert callable(use)
    with recorder.tracer.start_as_current_span("billing"):
        use(client)
    billing = recorder.one("billing")
    for name in ("acquire", "lease", "release"):
        span = recorder.one(f"appid_manager.{name}")
        assert is_child(span, billing), name
        assert span.attributes is not None
        assert span.attributes["appid_manager.product"] == "p"
        assert span.attributes["appid_manager.service"] == any_service.url
    lease = recorder.one("appid_manager.lease")
    assert lease.attributes is not None and lease.attributes["appid_manager.appid"] == "a"


def test_calls_on_other_threads_are_children_of_what_they_are_for(
    recorder: Recorder, client: AppIdClient
) -> None:
    instrumentor = RequestsInstrumentor()
    instrumentor.instrument(tracer_provider=recorder.provider)
    try:
        with recorder.tracer.start_as_current_span("billing"):
            in_a_block(client)
            client.get_status("p")
    finally:
        instrumentor.uninstrument()
    acquire, release = (recorder.one(f"appid_manager.{n}") for n in ("acquire", "release"))
    by_parent = {
        span.parent.span_id: span for span in recorder.spans("POST") if span.parent is not None
    }
    assert acquire.context is not None and release.context is not None
    assert {acquire.context.span_id, release.context.span_id} <= by_parent.keys()
    assert any(is_child(span, recorder.one("billing")) for span in recorder.spans("GET"))


def test_a_wait_and_its_failure_are_seen(recorder: Recorder, client: AppIdClient) -> None:
    client.release_appid(client.acquire_appid("p").appid, "p")
    with pytest.raises(NoAppIdAvailable):
        client.acquire_appid("p", max_retries=1, retry_interval=0)
    first, failed = recorder.spans("appid_manager.acquire")
    assert first.status.is_ok and not failed.status.is_ok
    wait = recorder.one("appid_manager.wait")
    assert is_child(wait, failed)
    assert wait.attributes is not None
    assert "AppID" in str(wait.attributes["appid_manager.reason"])
    assert len(recorder.spans("appid_manager.release")) == 1
    assert recorder.spans("appid_manager.lease") == [], "the caller gives it back by itself"


def test_a_release_in_the_background_is_a_child_of_its_lease(
    recorder: Recorder, any_service: AnyService, client: AppIdClient
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client.lease("p").acquire()
        gc.collect()
        wait_until(lambda: recorder.spans("appid_manager.lease"))
    lease = recorder.one("appid_manager.lease")
    assert is_child(recorder.one("appid_manager.release"), lease)
    assert lease.parent is None
    assert any_service.in_use("p") == []


def test_each_try_of_a_release_has_a_span(
    recorder: Recorder, any_service: AnyService, client: AppIdClient
) -> None:
    any_service.faults.queue("release", Fault.UNAVAILABLE)
    with client.lease("p"):
        pass
    wait_until(lambda: len(recorder.spans("appid_manager.release")) == 2)
    failed, delivered = recorder.spans("appid_manager.release")
    assert not failed.status.is_ok and delivered.status.is_ok
    assert is_child(delivered, recorder.one("appid_manager.lease"))


def test_a_lost_lease_says_so(recorder: Recorder, client: AppIdClient) -> None:
    with client.lease("p"):
        client.init_product("p", {"a": 1})
    lease = recorder.one("appid_manager.lease")
    assert lease.attributes is not None and lease.attributes["appid_manager.lost"]


def test_waiting_for_a_pool_is_a_child_of_the_callers_span(
    recorder: Recorder, client: AppIdClient
) -> None:
    with client.pool("p", max_size=1) as pool, recorder.tracer.start_as_current_span("billing"):
        with pool.lease():
            pass
    assert is_child(recorder.one("appid_manager.wait"), recorder.one("billing"))
    assert len(recorder.spans("appid_manager.acquire")) == 1
    assert len(recorder.spans("appid_manager.lease")) == 1


def test_nothing_is_left_in_the_callers_context(recorder: Recorder, client: AppIdClient) -> None:
    with recorder.tracer.start_as_current_span("billing"):
        with client.lease("p"):
            with recorder.tracer.start_as_current_span("body"):
                pass
    assert is_child(recorder.one("body"), recorder.one("billing"))


def test_without_it_nothing_is_traced_and_nothing_imported(any_service: AnyService) -> None:
    any_service.init("p", {"a": 1})
    program = (
        "import sys; from appid_manager_client import AppIdClient\n"
        f"with AppIdClient({any_service.url!r}, auth_token={any_service.auth_token!r}) as client:\n"
        "    with client.lease('p'): pass\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_stopped_trace_stops(recorder: Recorder, client: AppIdClient) -> None:
    lease = client.lease("p").acquire()
    uninstrument()
    thread = threading.Thread(target=lease.release)
    thread.start()
    thread.join()
    assert recorder.spans("appid_manager.release") == []
    assert len(recorder.spans("appid_manager.lease")) == 1
