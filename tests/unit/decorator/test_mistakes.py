"""What can't work is refused when the function is decorated.

The message says what to write instead.
"""

import functools

import pytest

from appid_manager_client import INJECTED, AppIdClient, uses_appid

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
        (awaited, {}, TypeError, "takes the product first"),
        (awaited, {"timeout": 1}, TypeError, "plain function"),
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


def above_a_function():
    @uses_appid
    def job(minutes):
        return minutes


def above_a_function_that_wants_the_lease():
    @uses_appid
    def job(minutes, lease=INJECTED): ...


def above_a_coroutine():
    @uses_appid
    async def job(): ...


def above_a_generator():
    @uses_appid
    def job():
        yield


def above_a_method():
    class Job:
        @uses_appid
        def run(self): ...


def above_a_class_method():
    class Job:
        @uses_appid
        @classmethod
        def run(cls): ...


def above_a_static_method():
    class Job:
        @uses_appid
        @staticmethod
        def run(): ...


def above_a_property():
    class Job:
        @uses_appid
        @property
        def run(self): ...


def above_a_class():
    @uses_appid
    class Job: ...


def between_other_decorators():
    def logged(function):
        @functools.wraps(function)
        def inner():
            return function()

        return inner

    @logged
    @uses_appid
    @logged
    def job(): ...


def above_itself():
    @uses_appid
    @uses_appid("stt")
    def job(): ...


def above_a_name_that_was_there_before():
    def job(): ...

    job()

    @uses_appid  # noqa: F811
    def job(): ...  # noqa: F811


def at_the_top_of_a_module():
    exec("@uses_appid\ndef job(): ...", {"uses_appid": uses_appid})


def called_with_a_function_that_wants_the_lease():
    uses_appid(bill_injected)


def bill_injected(minutes, *, lease=INJECTED): ...


@pytest.mark.parametrize(
    "written",
    [
        above_a_function,
        above_a_function_that_wants_the_lease,
        above_a_coroutine,
        above_a_generator,
        above_a_method,
        above_a_class_method,
        above_a_static_method,
        above_a_property,
        above_a_class,
        between_other_decorators,
        above_itself,
        above_a_name_that_was_there_before,
        at_the_top_of_a_module,
        called_with_a_function_that_wants_the_lease,
    ],
)
def test_the_decorator_without_its_product_is_refused_where_it_is_written(written):
    with pytest.raises(TypeError, match=r"takes the product first: @uses_appid\('stt_billing'\)$"):
        written()


def product_of(*args):
    return "stt"


class Products:
    def of(self, *args):
        return "stt"

    def __call__(self, *args):
        return "stt"


def named(name):
    def product(*args):
        return name

    return product


@pytest.mark.parametrize(
    "product",
    [
        product_of,
        lambda *args: "stt",
        named("stt"),
        Products().of,
        Products(),
        functools.partial(product_of),
        functools.cache(product_of),
        str,
        Products,
    ],
)
def test_a_function_that_says_the_product_is_none_that_is_decorated(product):
    assert uses_appid(product)(lambda: None).__name__ == "<lambda>"


def test_a_product_function_may_be_defined_beside_its_use():
    def product(*args):
        return "stt"

    @uses_appid(product)
    def job(): ...

    program = "def product(): return 'stt'"
    names = {"uses_appid": uses_appid}
    exec(compile(program, "<stdin>", "exec"), names)  # each line of a session is line 1
    exec(compile("job = uses_appid(product)(print)", "<stdin>", "exec"), names)


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
    leased = uses_appid("stt", pool=pool, timeout=3, min_remaining=60)
    assert leased(lambda lease: lease.appid)() == "appid1"
    assert pool.asked == [{"timeout": 3, "min_remaining": 60}]
