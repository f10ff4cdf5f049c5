"""What can't work is refused when the function is decorated.

The message says what to write instead.
"""

import functools

import pytest

from appid_manager_client import AppIdClient, uses_appid

from .fakepool import shared_pool


@pytest.fixture
def client():
    with AppIdClient("http://127.0.0.1:9") as client:
        yield client


def bill(minutes): ...


def bill_lease(lease): ...


def bill_positional(lease, /): ...


def bill_before(lease, minutes): ...


def bill_before_any(lease, *minutes): ...


@pytest.mark.parametrize(
    "options, function, message",
    [
        ({"inject": "held"}, bill_lease, r"bill_lease\(\) has no parameter 'held'.*add '\*, held"),
        ({"inject": "lease"}, bill, r"bill\(\) has no parameter 'lease'"),
        ({}, bill_positional, r"'lease' of bill_positional\(\) is positional-only.*behind the '/'"),
        ({"inject": "lease"}, bill_positional, "positional-only"),
        ({}, bill_before, r"'lease' of bill_before\(\) stands before 'minutes'.*keyword-only"),
        ({}, bill_before_any, "stands before 'minutes'"),
    ],
)
def test_a_parameter_that_no_lease_can_be_given_by(options, function, message):
    with pytest.raises(TypeError, match=message):
        uses_appid("stt", **options)(function)


def test_the_default_name_may_be_missing():
    assert uses_appid("stt")(lambda x: x).__name__ == "<lambda>"


def test_what_takes_any_keyword_can_be_asked_to_take_the_lease(pool):
    @uses_appid(pool=pool, inject="held")
    def job(**named):
        return named["held"].appid

    assert job() == "appid1"


async def awaited(): ...


@pytest.mark.parametrize(
    "product, options, error, message",
    [
        (None, {}, TypeError, "product is required"),
        ("", {}, ValueError, "product is required"),
        ("   ", {}, ValueError, "product is required"),
        (3, {}, TypeError, "product must be a str, not int"),
        (awaited, {}, TypeError, "plain function"),
        *(
            (
                "stt",
                {"inject": inject},
                TypeError,
                "inject must be the name of a parameter, or None",
            )
            for inject in (False, True, 3, b"lease")
        ),
        ("stt", {"inject": "not a name"}, ValueError, "'not a name'"),
        ("stt", {"client": "http://127.0.0.1:5000"}, TypeError, "an AppIdClient, not str"),
        ("stt", {"retries": 3}, TypeError, "no option retries; it takes timeout"),
        ("tts", {"pool": shared_pool}, ValueError, "the pool is of product 'stt', not 'tts'"),
        (lambda: "stt", {"pool": shared_pool}, TypeError, "a pool has one product"),
        (None, {"pool": shared_pool, "timeout": -1}, ValueError, "timeout"),
        (None, {"pool": shared_pool, "min_remaining": -1}, ValueError, "min_remaining"),
    ],
)
def test_an_argument_that_cant_be_used(product, options, error, message):
    with pytest.raises(error, match=message):
        uses_appid(product, **options)


@pytest.mark.parametrize("called", ["with an argument", "without"])
def test_the_decorator_without_parentheses(called):
    @uses_appid
    def job(*args): ...

    with pytest.raises(TypeError, match=r"takes the product first: @uses_appid\('stt_billing'\)"):
        job(3) if called == "with an argument" else job()


class Job: ...


@pytest.fixture
def some_fixture(): ...


@pytest.mark.parametrize(
    "thing, message",
    [
        *((thing, "decorates functions, not a") for thing in (3, "text", None, object())),
        (Job, "not the class Job: put it above a method"),
        *(
            (above(lambda self: None), f"can't decorate a {above.__name__}: put it below")
            for above in (property, functools.cached_property, functools.partialmethod)
        ),
        pytest.param(
            some_fixture,
            "must stand below @pytest.fixture",
            marks=pytest.mark.skipif(
                pytest.version_tuple < (8, 4), reason="there, a fixture is a plain function"
            ),
        ),
    ],
)
def test_what_cant_be_decorated(thing, message):
    with pytest.raises(TypeError, match=message):
        uses_appid("stt")(thing)


def test_a_task_of_celery_below_it():
    # Known by the module of its type: the task is asked nothing, as it may be a lazy proxy.
    class Task:
        __module__ = "celery.app.task"

        def __getattribute__(self, name):
            raise AssertionError("evaluated")

    with pytest.raises(TypeError, match="must stand below @app.task.*would run without a lease"):
        uses_appid("stt")(Task())


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"timeout": -1}, ValueError, "timeout must be at least 0"),
        ({"timeout": "1"}, TypeError, "timeout must be a number"),
        ({"min_remaining": float("nan")}, ValueError, "min_remaining"),
        ({"min_remaining": None}, TypeError, "min_remaining"),
        ({"max_retries": -1}, ValueError, "max_retries"),
        ({"max_retries": 1.5}, TypeError, "max_retries"),
        ({"retry_interval": -1}, ValueError, "retry_interval"),
        ({"ttl": 0}, ValueError, "ttl must be between 1 and 3600"),
        ({"holder": ""}, ValueError, "holder is required"),
        ({"holder": "x" * 201}, ValueError, "at most 200"),
        ({"on_lost": 3}, TypeError, "on_lost must be callable"),
    ],
)
def test_an_option_that_a_lease_would_refuse(options, error, message):
    with pytest.raises(error, match=message):
        uses_appid("stt", **options)


@pytest.mark.parametrize("option", ["max_retries", "retry_interval", "ttl", "holder", "on_lost"])
def test_an_option_that_a_pool_has_no_use_for(option):
    with pytest.raises(TypeError, match=f"{option} can't be given with pool"):
        uses_appid(pool=shared_pool, **{option: 1})


def test_a_client_and_a_pool(client):
    with pytest.raises(TypeError, match="client and pool"):
        uses_appid("stt", client=client, pool=shared_pool)


def test_a_client_for_a_pool(client):
    with pytest.raises(TypeError, match="pool must be a LeasePool"):
        uses_appid("stt", pool=client)


def test_the_pools_own_product_may_be_named(pool):
    assert (
        uses_appid("stt", pool=pool, timeout=3, min_remaining=60)(lambda lease: lease.appid)()
        == "appid1"
    )
    assert pool.asked == [{"timeout": 3, "min_remaining": 60}]
