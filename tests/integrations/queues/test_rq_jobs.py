"""What `appid_job` makes of a function: its signature, direct calls, and wrong options."""

from __future__ import annotations

import inspect
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from appid_manager_client.integrations.rq import appid_job

from appid_manager_client import INJECTED, AppIdClient, Lease, NoAppIdAvailable, set_default_client
from appid_manager_client.testing import LocalService

from .conftest import NewProduct
from .workers import in_use


@pytest.fixture
def client(service: LocalService) -> Iterator[AppIdClient]:
    with AppIdClient(service.url) as made:
        set_default_client(made)
        yield made
        set_default_client(None)


@pytest.fixture
def product(service: LocalService, new_product: NewProduct) -> str:
    return new_product(service)


def test_a_function_that_is_called_outside_of_a_job_holds_a_lease(
    client: AppIdClient, service: LocalService, product: str
) -> None:
    @appid_job(product)
    def transcribe(path: str, *, lease: Lease = INJECTED) -> tuple[str, str, list[str]]:
        return path, lease.appid, in_use(service, product)

    assert transcribe("a.wav") == ("a.wav", f"{product}-0", [f"{product}-0"])
    assert not in_use(service, product)


def test_outside_of_a_job_nothing_can_be_rescheduled(client: AppIdClient, product: str) -> None:
    @appid_job(product)
    def transcribe() -> None:
        raise AssertionError("the body has run without an AppID")

    with client.lease(product), pytest.raises(NoAppIdAvailable):
        transcribe()


def test_a_lease_that_the_caller_passes_is_used(client: AppIdClient, product: str) -> None:
    @appid_job(product)
    def transcribe(*, lease: Lease = INJECTED) -> str:
        return lease.appid

    with client.lease(product) as mine:  # the only one there is
        assert transcribe(lease=mine) == mine.appid


def test_the_lease_is_no_part_of_the_functions_signature() -> None:
    @appid_job("stt_billing")
    def transcribe(path: str, *, lease: Lease = INJECTED) -> None: ...

    assert list(inspect.signature(transcribe).parameters) == ["path"]
    assert transcribe.__qualname__.endswith("transcribe")


def test_sigterm_is_as_it_was_after_a_job(client: AppIdClient, product: str) -> None:
    @appid_job(product)
    def handler() -> Any:
        return signal.getsignal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        assert handler() is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_exhausted": "explode"}, "on_exhausted must be one of 'reschedule', 'wait', 'fail'"),
        ({"inject": "not a name"}, "inject"),
        ({"timeout": -1}, "timeout"),
        ({"client": "http://localhost"}, "client"),
        ({"product": " "}, "product is required"),
    ],
)
def test_wrong_options_are_refused_at_import(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        appid_job(**{"product": "stt_billing", **options})


def test_a_parameter_that_isnt_there_is_refused_at_import() -> None:
    with pytest.raises(TypeError, match="transcribe.*held|held.*transcribe"):

        @appid_job("stt_billing", inject="held")
        def transcribe(lease: Lease = INJECTED) -> None: ...


def test_a_body_that_would_run_too_late_is_refused() -> None:
    async def transcribe() -> None: ...

    with pytest.raises(TypeError, match="transcribe.* coroutine function"):
        appid_job("stt_billing")(transcribe)


def test_without_rq_the_error_names_what_to_install() -> None:
    program = "import sys; sys.modules['rq'] = None\nimport appid_manager_client.integrations.rq"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert 'pip install "appid-manager-client[rq]"' in done.stderr.splitlines()[-1]
