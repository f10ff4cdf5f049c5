"""What only `AppIdTask` has: eager calls, tasks that are classes, and retries of Celery's own."""

from __future__ import annotations

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
    uses_appid,
)
from appid_manager_client.testing import LocalService

from .scenes import appids_in_use, new_product


@pytest.mark.usefixtures("client")
def test_an_eager_task_holds_a_lease_and_knows_it(
    app: Celery, service: LocalService, product: str
) -> None:
    @app.task(shared=False, base=AppIdTask, appid_product=product, bind=True)
    def transcribe(self: AppIdTask) -> str:
        return self.appid_lease.appid

    assert transcribe.apply().get() == f"{product}-0"
    assert not appids_in_use(service, product)
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


@pytest.mark.usefixtures("client")
def test_a_body_that_calls_the_one_of_its_base_class_keeps_its_lease(
    app: Celery, product: str
) -> None:
    class Base(AppIdTask):
        name = "base"
        appid_product = product

        def run(self, lease: Lease = INJECTED) -> str:
            return lease.appid

    class Derived(Base):
        name = "derived"

        def run(self, lease: Lease = INJECTED) -> str:
            return f"derived {super().run()}"

    assert app.register_task(Derived())() == f"derived {product}-0"


@pytest.mark.usefixtures("client")
def test_a_class_whose_body_is_inherited_takes_its_own_product(
    app: Celery, service: LocalService, product: str
) -> None:
    class Plain(AppIdTask):
        name = "plain"

        def run(self, lease: Lease | None = None) -> str | None:
            return None if lease is None else lease.product_name

    class First(Plain):
        name = "first"
        appid_product: str | None = product

    class Second(First):
        name = "second"
        appid_product: str | None = new_product(service)

    class Without(Second):
        name = "without"
        appid_product = None

    had = [app.register_task(kind())() for kind in (Plain, First, Second, Without)]
    assert had == [None, product, Second.appid_product, None]


@pytest.mark.usefixtures("client")
def test_a_task_whose_arguments_celery_does_not_check_holds_a_lease(
    app: Celery, product: str
) -> None:
    @app.task(shared=False, typing=False, **appid_options(product))
    def transcribe(path: str, *, lease: Lease = INJECTED) -> str:
        return lease.appid

    transcribe.delay()
    assert transcribe.apply(("a.wav",)).get() == f"{product}-0"


@pytest.mark.parametrize("on_exhausted", ["reschedule", "fail"])
def test_an_eager_call_raises_where_nothing_is_free(
    on_exhausted: str, app: Celery, client: AppIdClient, product: str
) -> None:
    @app.task(shared=False, base=AppIdTask, appid_product=product, appid_on_exhausted=on_exhausted)
    def transcribe() -> None:
        raise AssertionError("the body has run without an AppID")

    with client.lease(product), pytest.raises(NoAppIdAvailable):
        transcribe.apply().get()


@pytest.mark.usefixtures("client")
def test_autoretry_sees_what_acquiring_raises(app: Celery) -> None:
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


@pytest.mark.parametrize("lazy", [True, False])
def test_the_plain_decorator_above_a_task_is_refused_when_it_is_written(
    lazy: bool, app: Celery
) -> None:
    @app.task(shared=False, lazy=lazy)
    def transcribe() -> None: ...

    with pytest.raises(TypeError, match="must stand below @app.task"):
        uses_appid("stt_billing")(transcribe)
