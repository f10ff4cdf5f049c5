"""What can't work is refused when the function is decorated, with a message that says what to write instead."""

import functools

import pytest

from appid_manager_client import AppIdClient, uses_appid

from .ledger import pool as ledger


@pytest.fixture
def client():
    with AppIdClient("http://127.0.0.1:9") as client:
        yield client


def test_an_explicit_parameter_that_isnt_there():
    with pytest.raises(
        TypeError, match=r"job\(\) has no parameter 'appid_lease'.*add '\*, appid_lease"
    ):

        @uses_appid("stt", inject="appid_lease")
        def job(lease): ...


def test_the_default_name_given_explicitly_must_be_there_too():
    with pytest.raises(TypeError, match=r"no parameter 'lease'"):
        uses_appid("stt", inject="lease")(lambda x: x)


def test_the_default_name_may_be_missing():
    assert uses_appid("stt")(lambda x: x).__name__ == "<lambda>"


@pytest.mark.parametrize("explicit", [{}, {"inject": "lease"}])
def test_a_positional_only_parameter(explicit):
    with pytest.raises(TypeError, match=r"'lease' of .*job\(\) is positional-only.*behind the '/'"):

        @uses_appid("stt", **explicit)
        def job(lease, /): ...


def test_a_parameter_that_stands_before_another_one():
    with pytest.raises(
        TypeError, match=r"'lease' of .*job\(\) stands before 'minutes'.*keyword-only"
    ):

        @uses_appid("stt")
        def job(lease, minutes): ...


def test_a_parameter_that_stands_before_any_number_of_others():
    with pytest.raises(TypeError, match=r"stands before 'numbers'"):

        @uses_appid("stt")
        def job(lease, *numbers): ...


def test_what_takes_any_keyword_can_be_asked_to_take_the_lease(pool):
    @uses_appid(pool=pool, inject="held")
    def job(**named):
        return named["held"].appid

    assert job() == "appid1"


@pytest.mark.parametrize("inject", [False, True, 3, b"lease"])
def test_an_inject_that_is_no_name(inject):
    with pytest.raises(TypeError, match="inject must be the name of a parameter, or None"):
        uses_appid("stt", inject=inject)


def test_an_inject_that_cant_be_a_name():
    with pytest.raises(ValueError, match="'not a name'"):
        uses_appid("stt", inject="not a name")


def test_no_product():
    with pytest.raises(TypeError, match="product is required"):
        uses_appid()


@pytest.mark.parametrize("product", ["", "   "])
def test_an_empty_product(product):
    with pytest.raises(ValueError, match="product is required"):
        uses_appid(product)


def test_a_product_that_is_no_text():
    with pytest.raises(TypeError, match="product must be a str, not int"):
        uses_appid(3)


def test_a_product_that_would_have_to_be_awaited():
    async def product(): ...

    with pytest.raises(TypeError, match="plain function"):
        uses_appid(product)


@pytest.mark.parametrize("called", ["with an argument", "without"])
def test_the_decorator_without_parentheses(called):
    @uses_appid
    def job(*args): ...

    with pytest.raises(TypeError, match=r"takes the product first: @uses_appid\('stt_billing'\)"):
        job(3) if called == "with an argument" else job()


@pytest.mark.parametrize("thing", [3, "text", None, object()])
def test_what_cant_be_called(thing):
    with pytest.raises(TypeError, match="decorates functions, not a"):
        uses_appid("stt")(thing)


def test_a_class():
    with pytest.raises(TypeError, match="not the class .*Job: put it above a method"):

        @uses_appid("stt")
        class Job: ...


@pytest.mark.parametrize("above", [property, functools.cached_property, functools.partialmethod])
def test_a_property_below_it(above):
    with pytest.raises(TypeError, match=f"can't decorate a {above.__name__}: put it below"):
        uses_appid("stt")(above(lambda self: None))


def test_a_fixture_below_it():
    @pytest.fixture
    def something(): ...

    with pytest.raises(TypeError, match="must stand below @pytest.fixture"):
        uses_appid("stt")(something)


def test_a_task_of_celery_below_it():
    # Looked at by where its type comes from: neither imported here, nor asked anything (it may be a lazy proxy).
    class Task:
        __module__ = "celery.app.task"

        def __getattribute__(self, name):
            raise AssertionError("evaluated")

    with pytest.raises(TypeError, match="must stand below @app.task.*would run without a lease"):
        uses_appid("stt")(Task())


def test_an_unknown_option():
    with pytest.raises(TypeError, match="no option retries; it takes timeout"):
        uses_appid("stt", retries=3)


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
        uses_appid(pool=ledger, **{option: 1})


@pytest.mark.parametrize("option", ["timeout", "min_remaining"])
def test_an_option_that_a_pool_would_refuse(option):
    with pytest.raises(ValueError, match=option):
        uses_appid(pool=ledger, **{option: -1})


def test_a_client_and_a_pool(client):
    with pytest.raises(TypeError, match="client and pool"):
        uses_appid("stt", client=client, pool=ledger)


def test_a_url_for_a_client():
    with pytest.raises(TypeError, match="client must be an AppIdClient, not str"):
        uses_appid("stt", client="http://127.0.0.1:5000")


def test_a_client_for_a_pool(client):
    with pytest.raises(TypeError, match="pool must be a LeasePool"):
        uses_appid("stt", pool=client)


def test_a_pool_of_another_product():
    with pytest.raises(ValueError, match="the pool is of product 'stt', not 'tts'"):
        uses_appid("tts", pool=ledger)


def test_a_function_for_the_product_of_a_pool():
    with pytest.raises(TypeError, match="a pool has one product"):
        uses_appid(lambda: "stt", pool=ledger)


def test_the_pools_own_product_may_be_named(pool):
    assert (
        uses_appid("stt", pool=pool, timeout=3, min_remaining=60)(lambda lease: lease.appid)()
        == "appid1"
    )
    assert pool.asked == [{"timeout": 3, "min_remaining": 60}]
