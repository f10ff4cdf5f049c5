"""A decorated function has the attributes of a function: read, set and copied as on any other."""

import contextlib
import functools
import inspect
import typing
import weakref

import pytest

from appid_manager_client import INJECTED, Lease, uses_appid

from .samples import Job, leased


def original(minutes: int, rate: float = 1.5) -> str:
    """Bills."""
    return f"{minutes} at {rate}"


@leased
def bill(minutes: int, *, lease: Lease = INJECTED) -> str:
    """Bills under a lease."""
    return f"{minutes} on {lease.appid}"


vars(original)["owner"] = "billing"


@pytest.mark.usefixtures("pool")
def test_it_can_be_wrapped():
    @functools.wraps(bill)
    def other(*args, **kwargs):
        return bill(*args, **kwargs)

    assert (other.__name__, other.__doc__) == ("bill", "Bills under a lease.")
    assert typing.get_type_hints(other) == {"minutes": int, "return": str}
    assert other(3) == "3 on appid1"


@pytest.mark.parametrize("order", ["above", "below"])
def test_it_can_be_the_wrapper_above_or_below_wraps(pool, order):
    """The inner function of a user's decorator wants the lease."""

    def billed(function):
        def inner(*args, lease=INJECTED, **kwargs):
            return f"{function(*args, **kwargs)} on {lease.appid}"

        if order == "below":
            return functools.wraps(function)(uses_appid(pool=pool)(inner))
        return uses_appid(pool=pool)(functools.wraps(function)(inner))

    job = billed(original)
    assert job(3, rate=2) == "3 at 2 on appid1"
    assert (job.__name__, job.__doc__, job.owner) == ("original", "Bills.", "billing")
    assert str(inspect.signature(job)) == "(minutes: int, rate: float = 1.5) -> str"
    assert typing.get_type_hints(job) == {"minutes": int, "rate": float, "return": str}
    assert inspect.unwrap(job) is original


@pytest.mark.parametrize("inject", ["lease", "held"])
def test_a_wrapper_without_such_a_parameter_hands_the_lease_on(pool, inject):
    def logged(function):
        @functools.wraps(function)
        def inner(*args, **kwargs):
            return function(*args, **kwargs)

        return inner

    @uses_appid(pool=pool, inject=inject)
    @logged
    def job(x, *, lease=None, held=None):
        return x, (lease or held).appid

    assert job(1) == (1, "appid1")


@pytest.mark.parametrize("order", ["above", "below"])
def test_a_coroutine_inside_a_users_decorator(pool, order):
    def billed(function):
        async def inner(*args, lease=INJECTED):
            return await function(*args), lease.appid

        if order == "below":
            return functools.wraps(function)(uses_appid(pool=pool)(inner))
        return uses_appid(pool=pool)(functools.wraps(function)(inner))

    @billed
    async def job(x):
        return x

    assert inspect.iscoroutinefunction(job)
    with contextlib.closing(job(1)) as call, pytest.raises(StopIteration) as stop:
        call.send(None)
    assert stop.value.value == (1, "appid1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("__name__", "other"),
        ("__qualname__", "A.other"),
        ("__doc__", "Does it."),
        ("__module__", "elsewhere"),
        ("__annotations__", {"x": int, "return": str}),
        ("__defaults__", (3,)),
        ("__kwdefaults__", {"lease": INJECTED, "y": 4}),
        ("__signature__", inspect.signature(original)),
        ("__wrapped__", original),
        ("__code__", (lambda x, *, y=1, lease=None: (x, y)).__code__),
        ("owner", "billing"),
    ],
)
def test_any_attribute_can_be_set(name, value):
    def job(x, *, y=1, lease=INJECTED):
        return x, y

    plain = job.__code__
    decorated = leased(job)
    setattr(decorated, name, value)
    if name == "__code__":
        assert job.__code__ is value and job.__code__ is not plain
    elif name == "__wrapped__":
        assert job.__wrapped__ is value
    else:
        assert getattr(decorated, name) == getattr(job, name) == value
    assert decorated.__get__(None, object) is decorated


def test_what_was_set_can_be_deleted():
    @leased
    def job(x: int): ...

    job.owner, job.__signature__ = "billing", inspect.signature(original)
    del job.owner, job.__signature__, job.__annotations__
    assert not hasattr(job, "owner")
    assert str(inspect.signature(job)) == "(x)"


def test_annotations_can_be_changed_in_place():
    @leased
    def job(x: int, y, *, lease: Lease = INJECTED): ...

    job.__annotations__["y"] = float
    job.__annotations__.update(x=bytes)
    del job.__annotations__["x"]
    assert job.__annotations__ == {"y": float}
    assert job.__wrapped__.__annotations__.keys() == {"y", "lease"}
    assert str(inspect.signature(job)) == "(x, y: float)"


def test_the_code_that_it_shows_is_no_code_for_it():
    with pytest.raises(TypeError, match="not the function's own"):
        bill.__code__ = bill.__code__
    assert bill.__code__.co_firstlineno == bill.__wrapped__.__code__.co_firstlineno


@pytest.mark.parametrize("name", ["run", "below_class", "above_class", "__call__"])
@pytest.mark.usefixtures("pool")
def test_a_bound_method_can_be_referred_to_weakly(name):
    job = Job()
    method = weakref.WeakMethod(getattr(job, name))
    assert method()(1)[1:] == (1, "appid1")
    assert method == weakref.WeakMethod(getattr(job, name))


def test_a_weak_reference_to_a_bound_method_ends_with_its_instance():
    ended = []
    job = Job()
    method = weakref.WeakMethod(job.run, ended.append)
    del job
    assert method() is None
    assert ended == [method]


@pytest.mark.usefixtures("pool")
def test_a_finalizer_runs_a_decorated_method():
    job, other = Job("kept"), Job()
    finalizer = weakref.finalize(other, job.run, 1)
    assert finalizer() == ("kept", 1, "appid1")


def test_a_function_found_through_its_class_is_the_function():
    assert Job.run is Job.run is Job.__dict__["run"]


@pytest.mark.usefixtures("pool")
def test_functools_find_their_way():
    @functools.singledispatch
    @leased
    def job(x, *, lease=INJECTED):
        return "any", lease.appid

    @job.register
    @leased
    def _(x: int, *, lease: Lease = INJECTED):
        return "int", lease.appid

    assert (job("x"), job(1)) == (("any", "appid1"), ("int", "appid2"))

    class Jobs:
        part = functools.partialmethod(Job.run, 7)
        name = "mine"

        @functools.singledispatchmethod
        @leased
        def dispatched(self, x, *, lease=INJECTED):
            return lease.appid

    assert Jobs().part() == ("mine", 7, "appid3")
    assert Jobs().dispatched(1) == "appid4"
    cached = functools.cache(leased(lambda x, lease: (x, lease.appid)))
    assert cached(1) == cached(1) == (1, "appid5")
