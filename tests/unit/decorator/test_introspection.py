"""What others read from a decorated function: all as before, without the injected parameter."""

import functools
import inspect
import types
import typing
import weakref

import pytest

from appid_manager_client import INJECTED, uses_appid
from appid_manager_client.lease.held import Lease

from .fakepool import shared_pool
from .samples import Job, leased


@leased
def bill(minutes: int, rate: float = 1.5, *, lease: Lease = INJECTED) -> str:
    return ""


def test_the_signature_leaves_the_lease_out():
    assert str(inspect.signature(bill)) == "(minutes: int, rate: float = 1.5) -> str"


def test_the_wrapped_functions_own_signature_is_not_touched():
    assert "lease" in inspect.signature(bill.__wrapped__).parameters
    assert not hasattr(bill.__wrapped__, "__signature__")


NAMES = ["run", "above_class", "below_class", "above_static", "below_static"]


@pytest.mark.parametrize("name", NAMES)
def test_the_signature_of_a_method_leaves_the_lease_out(name):
    assert str(inspect.signature(getattr(Job(), name))) == "(x: int) -> object"
    through_the_class = "(self, x: int) -> object" if name == "run" else "(x: int) -> object"
    assert str(inspect.signature(getattr(Job, name))) == through_the_class
    spec = inspect.getfullargspec(getattr(Job(), name))
    assert "lease" not in [*spec.args, *spec.kwonlyargs, *spec.annotations]


def test_the_signature_of_a_decorated_call_leaves_the_lease_out():
    assert str(inspect.signature(Job())) == "(x: int) -> object"


def test_the_signature_of_a_class_and_of_a_decorated_init_agree():
    class Made:
        @leased
        def __init__(self, x: int, *, lease: Lease = INJECTED) -> None: ...

    assert list(inspect.signature(Made).parameters) == ["x"]


def test_type_hints_leave_the_lease_out():
    assert typing.get_type_hints(bill) == {"minutes": int, "rate": float, "return": str}
    assert typing.get_type_hints(Job().run) == {"x": int, "return": object}
    assert not hasattr(leased(functools.partial(print)), "__annotations__"), "nor has a partial"
    assert "lease" in typing.get_type_hints(bill.__wrapped__)


def test_a_lease_that_isnt_injected_stays_visible():
    @uses_appid(pool=shared_pool, inject=None)
    def job(x, lease): ...

    assert str(inspect.signature(job)) == "(x, lease)"


def test_stacked_decorators_hide_both():
    @uses_appid(pool=shared_pool, inject="a")
    @uses_appid(pool=shared_pool, inject="b")
    def job(x, *, a=INJECTED, b=INJECTED): ...

    assert str(inspect.signature(job)) == "(x)"


def test_the_signature_follows_wrappers_and_partials():
    @functools.wraps(bill)
    def wrapper(*args, **kwargs): ...

    assert list(inspect.signature(wrapper).parameters) == ["minutes", "rate"]
    assert list(inspect.signature(functools.partial(bill, 1)).parameters) == ["rate"]
    decorated = leased(functools.partial(bill.__wrapped__, 1))
    assert list(inspect.signature(decorated).parameters) == ["rate"]


def test_a_function_without_a_signature_has_none_afterwards():
    assert uses_appid(pool=shared_pool)(max) is not max
    with pytest.raises(ValueError):
        inspect.signature(leased(max))


def test_binding_refuses_a_lease_from_outside():
    with pytest.raises(TypeError, match="lease"):
        inspect.signature(bill).bind(1, lease="spoofed")


async def coroutine(): ...


def generator():
    yield


async def async_generator():
    yield


class Kinds:
    @leased
    async def coroutine(self): ...

    @leased
    def generator(self):
        yield

    @leased
    async def async_generator(self):
        yield

    @leased
    @classmethod
    async def above(cls): ...

    @classmethod
    @leased
    async def below(cls): ...

    @leased
    @staticmethod
    def static():
        yield


@pytest.mark.parametrize(
    "function, expected",
    [
        (leased(lambda: None), set()),
        (leased(coroutine), {"coroutine"}),
        (leased(generator), {"generator"}),
        (leased(async_generator), {"asyncgen"}),
        (leased(leased(generator)), {"generator"}),
        (leased(functools.partial(coroutine)), {"coroutine"}),
        (functools.partial(leased(coroutine)), {"coroutine"}),
        (Kinds().coroutine, {"coroutine"}),
        (Kinds.coroutine, {"coroutine"}),
        (Kinds().generator, {"generator"}),
        (Kinds().async_generator, {"asyncgen"}),
        (Kinds.above, {"coroutine"}),
        (Kinds.below, {"coroutine"}),
        (Kinds.static, {"generator"}),
    ],
)
@pytest.mark.parametrize("of", ["itself", "its call"])
def test_it_says_what_kind_of_function_it_is(function, expected, of):
    asked = function
    # From Python 3.13 on, a bound class method is a method of Python's own: its call says nothing.
    if of == "its call" and type(function) not in (functools.partial, types.MethodType):
        asked = function.__call__
    kinds = {
        kind
        for kind in ("coroutine", "generator", "asyncgen")
        if getattr(inspect, f"is{kind}function")(asked)
    }
    assert kinds == expected


def test_it_passes_for_a_function_and_a_method_as_before():
    assert inspect.isfunction(bill) and isinstance(bill, types.FunctionType)
    assert inspect.ismethod(Job().run) and isinstance(Job().run, types.MethodType)
    assert inspect.isroutine(bill)
    assert inspect.unwrap(bill) is bill.__wrapped__


def test_its_source_is_the_functions():
    assert "def bill(" in inspect.getsource(bill)
    assert inspect.getsourcefile(bill) == __file__


def test_it_can_be_referred_to_weakly():
    function = leased(lambda: None)
    assert weakref.ref(function)() is function


def test_pydantic_calls_it_with_converted_arguments(pool):
    pydantic = pytest.importorskip("pydantic")

    @pydantic.validate_call
    @uses_appid(pool=pool)
    def job(x: int, *, lease: Lease = INJECTED):
        return x, lease.appid

    assert job("3") == (3, "appid1")
    with pytest.raises(pydantic.ValidationError, match="lease"):
        job(3, lease="spoofed")


@leased
@pytest.mark.parametrize("number", [1])
def test_pytest_collects_a_decorated_test_and_asks_for_no_lease(number, lease):
    assert shared_pool.held == [lease.appid]


@pytest.fixture
@leased
def decorated_fixture(request, lease=INJECTED):
    yield lease.appid


def test_a_decorated_fixture_holds_its_appid_as_long_as_the_test_runs(decorated_fixture):
    assert shared_pool.held == [decorated_fixture]
