"""What `AppIdTask` makes of a task: its signature, eager and direct calls, retries of its own, and wrong options."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from appid_manager_client.integrations.celery import AppIdTask, appid_options
from celery import Celery

from appid_manager_client import (
    INJECTED,
    AppIdClient,
    Lease,
    LeaseNotHeld,
    NoAppIdAvailable,
    ProductNotFound,
    set_default_client,
    uses_appid,
)
from appid_manager_client.testing import LocalService

from .conftest import NewProduct
from .workers import in_use


@pytest.fixture
def app() -> Iterator[Celery]:
    made = Celery("unit", broker="memory://", backend="cache+memory://", set_as_current=False)
    yield made
    made.close()


@pytest.fixture
def client(service: LocalService) -> Iterator[AppIdClient]:
    with AppIdClient(service.url) as made:
        set_default_client(made)
        yield made
        set_default_client(None)


@pytest.fixture
def product(service: LocalService, new_product: NewProduct) -> str:
    return new_product(service)


def test_a_task_that_is_called_directly_holds_a_lease(
    app: Celery, client: AppIdClient, service: LocalService, product: str
) -> None:
    @app.task(shared=False, base=AppIdTask, appid_product=product)
    def transcribe(path: str, lease: Lease = INJECTED) -> tuple[str, str, list[str]]:
        return path, lease.appid, in_use(service, product)

    assert transcribe("a.wav") == ("a.wav", f"{product}-0", [f"{product}-0"])
    assert not in_use(service, product)


def test_an_eager_task_holds_a_lease_and_knows_it(
    app: Celery, client: AppIdClient, service: LocalService, product: str
) -> None:
    @app.task(shared=False, base=AppIdTask, appid_product=product, bind=True)
    def transcribe(self: AppIdTask) -> str:
        return self.appid_lease.appid

    assert transcribe.apply().get() == f"{product}-0"
    assert not in_use(service, product)
    with pytest.raises(LeaseNotHeld, match="transcribe"):
        _ = transcribe.appid_lease


def test_the_lease_is_no_part_of_the_tasks_signature(app: Celery, product: str) -> None:
    @app.task(shared=False, base=AppIdTask, appid_product=product, bind=True)
    def bound(
        self: AppIdTask, path: str, *, lease: Lease = INJECTED, fast: bool = False
    ) -> None: ...

    @app.task(shared=False, base=AppIdTask, appid_product=product)
    def unbound(path: str, lease: Lease = INJECTED) -> None: ...

    for task in (bound, unbound):
        task.delay("a.wav")
        with pytest.raises(TypeError):
            task.delay()
        with pytest.raises(TypeError):
            task.delay("a.wav", lease="somebody's")
    bound.delay("a.wav", fast=True)


def test_a_lease_that_the_caller_passes_is_used(
    app: Celery, client: AppIdClient, product: str
) -> None:
    @app.task(shared=False, base=AppIdTask, appid_product=product)
    def transcribe(lease: Lease = INJECTED) -> str:
        return lease.appid

    with client.lease(product) as mine:  # the only one there is
        assert transcribe(lease=mine) == mine.appid


def test_a_body_that_calls_the_one_of_its_base_class_keeps_its_lease(
    app: Celery, client: AppIdClient, product: str
) -> None:
    class Base(AppIdTask):
        name = "base"
        appid_product = product

        def run(self, lease: Lease = INJECTED) -> str:
            return lease.appid

    class Derived(Base):
        name = "derived"

        def run(self, lease: Lease = INJECTED) -> str:  # type: ignore[override]
            return f"derived {super().run()}"

    assert app.register_task(Derived())() == f"derived {product}-0"


def test_a_class_whose_body_is_inherited_takes_its_own_product(
    app: Celery,
    client: AppIdClient,
    product: str,
    service: LocalService,
    new_product: NewProduct,
) -> None:
    class Plain(AppIdTask):
        name = "plain"

        def run(self, lease: Lease | None = None) -> str | None:
            return None if lease is None else lease.product_name

    class First(Plain):
        name = "first"
        appid_product = product

    class Second(First):
        name = "second"
        appid_product = new_product(service)

    class Without(Second):
        name = "without"
        appid_product = None

    had = [app.register_task(kind())() for kind in (Plain, First, Second, Without)]
    assert had == [None, product, Second.appid_product, None]


def test_a_task_whose_arguments_celery_does_not_check_holds_a_lease(
    app: Celery, client: AppIdClient, product: str
) -> None:
    @app.task(shared=False, typing=False, **appid_options(product))
    def transcribe(path: str, *, lease: Lease = INJECTED) -> str:
        return lease.appid

    transcribe.delay()
    assert transcribe.apply(("a.wav",)).get() == f"{product}-0"


def test_a_product_can_follow_from_the_arguments(
    app: Celery, client: AppIdClient, product: str
) -> None:
    @app.task(shared=False, base=AppIdTask, appid_product=lambda customer: f"{product}{customer}")
    def transcribe(customer: str, lease: Lease = INJECTED) -> str:
        return lease.product_name

    assert transcribe("") == product
    with pytest.raises(ProductNotFound):
        transcribe("x")


@pytest.mark.parametrize("on_exhausted", ["reschedule", "fail"])
def test_an_eager_or_direct_call_raises_where_nothing_is_free(
    on_exhausted: str, app: Celery, client: AppIdClient, product: str
) -> None:
    @app.task(shared=False, base=AppIdTask, appid_product=product, appid_on_exhausted=on_exhausted)
    def transcribe() -> None:
        raise AssertionError("the body has run without an AppID")

    with client.lease(product):
        with pytest.raises(NoAppIdAvailable):
            transcribe()
        with pytest.raises(NoAppIdAvailable):
            transcribe.apply().get()


def test_autoretry_sees_what_acquiring_raises(app: Celery, client: AppIdClient) -> None:
    @app.task(
        shared=False,
        base=AppIdTask,
        appid_product="nowhere",
        autoretry_for=(ProductNotFound,),
        max_retries=2,
        default_retry_delay=0,
    )
    def transcribe() -> None: ...

    retries: list[int] = []
    transcribe.on_retry = lambda *args: retries.append(1)
    with pytest.raises(ProductNotFound):
        transcribe.apply().get()
    assert len(retries) == 2


def test_a_task_without_a_product_is_like_any_other(app: Celery) -> None:
    @app.task(shared=False, base=AppIdTask)
    def add(a: int, b: int) -> int:
        return a + b

    assert add(1, 2) == 3


async def product_of_later() -> str:
    return "stt_billing"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"on_exhausted": "explode"}, "on_exhausted must be one of 'reschedule', 'wait', 'fail'"),
    ({"inject": "not a name"}, "inject"),
    ({"timeout": -1}, "timeout"),
    ({"min_remaining": "long"}, "min_remaining"),
    ({"ttl": 0}, "ttl"),
    ({"client": "http://localhost"}, "client"),
    ({"product": " "}, "product is required"),
    ({"product": 7}, "product"),
    ({"product": product_of_later}, "product must be .* not a coroutine function"),
]


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_wrong_options_are_refused_where_they_are_written(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        appid_options(**{"product": "stt_billing", **options})


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_wrong_attributes_are_refused_when_the_task_is_made(
    options: dict[str, Any], message: str, app: Celery
) -> None:
    attributes = {f"appid_{name}": value for name, value in options.items()}

    @app.task(shared=False, base=AppIdTask, **{"appid_product": "stt_billing", **attributes})
    def transcribe() -> None: ...

    with pytest.raises((ValueError, TypeError), match=message):
        app.finalize()


def test_a_parameter_that_isnt_there_cant_get_the_lease(app: Celery) -> None:
    @app.task(shared=False, **appid_options("stt_billing", inject="held"))
    def transcribe(lease: Lease = INJECTED) -> None: ...

    with pytest.raises(TypeError, match="transcribe.*held|held.*transcribe"):
        app.finalize()


def test_a_positional_only_parameter_cant_get_the_lease(app: Celery) -> None:
    @app.task(shared=False, **appid_options("stt_billing"))
    def transcribe(lease: Lease, /) -> None: ...

    with pytest.raises(TypeError, match="'lease' of .*transcribe.* is positional-only"):
        app.finalize()


@pytest.mark.parametrize("lazy", [True, False])
def test_the_plain_decorator_above_a_task_is_refused_when_it_is_written(
    lazy: bool, app: Celery
) -> None:
    @app.task(shared=False, lazy=lazy)
    def transcribe() -> None: ...

    with pytest.raises(TypeError, match="must stand below @app.task"):
        uses_appid("stt_billing")(transcribe)


def test_a_body_that_would_run_too_late_is_refused(app: Celery) -> None:
    @app.task(shared=False, **appid_options("stt_billing"))
    async def transcribe() -> None: ...

    with pytest.raises(TypeError, match="transcribe.* coroutine function"):
        app.finalize()


def test_without_celery_the_error_names_what_to_install() -> None:
    program = (
        "import sys; sys.modules['celery'] = None\n"
        "import appid_manager_client.integrations.celery"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert 'pip install "appid-manager-client[celery]"' in done.stderr.splitlines()[-1]
