"""What becomes of a function that is made a task or a job: direct calls, options, mistakes."""

from __future__ import annotations

import inspect
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from appid_manager_client.integrations.celery import AppIdTask, appid_options
from appid_manager_client.integrations.rq import appid_job
from celery import Celery

from appid_manager_client import (
    INJECTED,
    AppIdClient,
    Lease,
    NoAppIdAvailable,
    ProductNotFound,
)
from appid_manager_client.runtime.identity import default_holder
from appid_manager_client.testing import LocalService

from .scenes import appids_in_use

Make = Callable[..., Callable[..., Any]]
"""`make(product, **options)` is a decorator, as `appid_job` is one."""


@pytest.fixture(params=["celery", "rq"])
def make(request: pytest.FixtureRequest, app: Celery) -> Make:
    if request.param == "rq":
        return appid_job

    def make_task(*args: Any, **options: Any) -> Any:
        return app.task(shared=False, lazy=False, **appid_options(*args, **options))

    return make_task


@pytest.mark.usefixtures("client")
def test_a_direct_call_holds_a_lease(make: Make, service: LocalService, product: str) -> None:
    @make(product)
    def transcribe(path: str, *, lease: Lease = INJECTED) -> tuple[str, str, list[str]]:
        return path, lease.appid, appids_in_use(service, product)

    assert transcribe("a.wav") == ("a.wav", f"{product}-0", [f"{product}-0"])
    assert not appids_in_use(service, product)


@pytest.mark.usefixtures("client")
def test_the_holder_is_the_task_and_then_the_process(
    make: Make, service: LocalService, product: str
) -> None:
    @make(product)
    def transcribe() -> None: ...

    transcribe()
    holder = service.history(product)[0]["holder"]
    assert holder.partition("[")[0].partition(" ")[0].endswith("transcribe")
    assert holder.endswith(f" {default_holder()}")


@pytest.mark.parametrize("on_exhausted", ["reschedule", "fail"])
def test_a_direct_call_raises_where_nothing_is_free(
    on_exhausted: str, make: Make, client: AppIdClient, product: str
) -> None:
    @make(product, on_exhausted=on_exhausted)
    def transcribe() -> None:
        raise AssertionError("the body has run without an AppID")

    with client.lease(product), pytest.raises(NoAppIdAvailable):
        transcribe()


class NotedTimeouts(AppIdClient):
    """A client that keeps the timeouts of its leases."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.timeouts: list[float | None] = []

    def lease(self, product_name: str, **options: Any) -> Lease:
        self.timeouts.append(options["timeout"])
        return super().lease(product_name, **options)


@pytest.mark.parametrize(
    ("on_exhausted", "timeout", "patience"),
    [
        ("reschedule", None, 5),
        ("reschedule", 60, 5),
        ("reschedule", 2, 2),
        ("reschedule", 0, 0),
        ("wait", None, None),
        ("wait", 60, 60),
        ("fail", None, 5),
        ("fail", 60, 60),
        ("fail", 0, 0),
    ],
)
def test_a_timeout_bounds_the_wait_in_the_worker(
    on_exhausted: str,
    timeout: float | None,
    patience: float | None,
    make: Make,
    service: LocalService,
    product: str,
) -> None:
    client = NotedTimeouts(service.url)
    with client:

        @make(product, client=client, on_exhausted=on_exhausted, timeout=timeout)
        def transcribe() -> None: ...

        transcribe()
    assert client.timeouts == [patience]


def test_a_lease_that_the_caller_passes_is_used(
    make: Make, client: AppIdClient, product: str
) -> None:
    @make(product)
    def transcribe(*, lease: Lease = INJECTED) -> str:
        return lease.appid

    with client.lease(product) as mine:  # the only one there is
        assert transcribe(lease=mine) == mine.appid


@pytest.mark.usefixtures("client")
def test_a_product_can_follow_from_the_arguments(make: Make, product: str) -> None:
    @make(lambda customer: f"{product}{customer}")
    def transcribe(customer: str, *, lease: Lease = INJECTED) -> str:
        return lease.product_name

    assert transcribe("") == product
    with pytest.raises(ProductNotFound):
        transcribe("x")


async def product_of_later() -> str:
    return "stt_billing"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"on_exhausted": "explode"}, "on_exhausted must be one of 'reschedule', 'wait', 'fail'"),
    ({"inject": "not a name"}, "inject"),
    ({"inject": 7}, "inject"),
    ({"timeout": -1}, "timeout"),
    ({"min_remaining": "long"}, "min_remaining"),
    ({"ttl": 0}, "ttl"),
    ({"client": "http://localhost"}, "client"),
    ({"product": " "}, "product is required"),
    ({"product": 7}, "product"),
    ({"product": product_of_later}, "product must be .* not a coroutine function"),
]


@pytest.mark.parametrize("function", [appid_options, appid_job])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        *WRONG,
        ({"retries": 3}, r"appid_(options|job)\(\) got an unexpected keyword argument 'retries'"),
    ],
)
def test_wrong_options_are_refused_where_they_are_written(
    function: Callable[..., object], options: dict[str, Any], message: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        function(**{"product": "stt_billing", **options})


def test_the_decorator_of_jobs_without_its_product_is_refused_where_it_is_written() -> None:
    bare: Any = appid_job
    with pytest.raises(TypeError, match=r"^@appid_job takes the product first: @appid_job\('stt"):

        @bare
        def transcribe(recording: str) -> None: ...


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_wrong_attributes_are_refused_when_the_task_is_made(
    options: dict[str, Any], message: str, app: Celery
) -> None:
    attributes = {f"appid_{name}": value for name, value in options.items()}

    @app.task(shared=False, base=AppIdTask, **{"appid_product": "stt_billing", **attributes})
    def transcribe() -> None: ...

    with pytest.raises((ValueError, TypeError), match=message):
        app.finalize()


@pytest.mark.parametrize("function", [appid_options, appid_job])
def test_signature_and_documentation_show_every_option(function: Callable[..., object]) -> None:
    product, *options = inspect.signature(function).parameters.values()
    assert (product.name, product.default) == ("product", product.empty)
    assert {option.kind for option in options} == {inspect.Parameter.KEYWORD_ONLY}
    assert {option.name: option.default for option in options} == {
        "client": None,
        "on_exhausted": "reschedule",
        "inject": "lease",
        "timeout": None,
        "min_remaining": 0.0,
        "ttl": 60.0,
    }
    text = inspect.getdoc(function)
    assert text is not None and "Args:" in text
    assert all(option.name in text.partition("Args:")[2] for option in options)
    with pytest.raises(TypeError, match="missing a required argument: 'product'"):
        function()


def test_a_parameter_that_isnt_there_cant_get_the_lease(make: Make) -> None:
    def transcribe(lease: Lease = INJECTED) -> None: ...

    with pytest.raises(TypeError, match="transcribe.*held|held.*transcribe"):
        make("stt_billing", inject="held")(transcribe)


def test_a_positional_only_parameter_cant_get_the_lease(make: Make) -> None:
    def transcribe(lease: Lease, /) -> None: ...

    with pytest.raises(TypeError, match="'lease' of .*transcribe.* is positional-only"):
        make("stt_billing")(transcribe)


def test_a_body_that_would_run_too_late_is_refused(make: Make) -> None:
    async def transcribe() -> None: ...

    with pytest.raises(TypeError, match="transcribe.* coroutine function"):
        make("stt_billing")(transcribe)


@pytest.mark.parametrize("package", ["celery", "rq"])
def test_without_the_package_the_error_names_what_to_install(package: str) -> None:
    program = (
        f"import sys; sys.modules[{package!r}] = None\n"
        f"import appid_manager_client.integrations.{package}"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert f'pip install "appid-manager-client[{package}]"' in done.stderr.splitlines()[-1]


# --- what only RQ has


def test_the_lease_is_no_part_of_a_jobs_signature() -> None:
    @appid_job("stt_billing")
    def transcribe(path: str, *, lease: Lease = INJECTED) -> None: ...

    assert list(inspect.signature(transcribe).parameters) == ["path"]
    assert transcribe.__qualname__.endswith("transcribe")


@pytest.mark.usefixtures("client")
def test_sigterm_raises_during_a_job_and_is_as_it_was_afterwards(product: str) -> None:
    @appid_job(product)
    def handler() -> Any:
        return signal.getsignal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        assert handler() is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
