"""Whatever takes a decorated function apart to copy it gets a decorated copy, or is refused."""

import asyncio
import functools
import inspect
import pickle
import subprocess
import sys
import types

import cloudpickle
import dill
import pytest

from appid_manager_client import INJECTED, AppIdClient, Lease, set_default_client, uses_appid
from appid_manager_client.testing import LocalService

from .fakepool import FakePool
from .kinds import EVERY, finish
from .samples import leased

THIS = sys.modules[__name__]


@pytest.fixture
def service():
    with LocalService() as service, AppIdClient(service.url) as client:
        client.init_product("stt", {f"a{number}": number for number in range(8)})
        set_default_client(client)
        yield service
        set_default_client(None)


def used(service):
    return sum(entry["status"] != "available" for entry in service.status()["appids"])


@uses_appid("stt", timeout=0)
def silent(x):
    """Takes no lease: undecorated, it would run without an AppID, and nobody would see it."""
    return x


@uses_appid("stt", timeout=0)
def countdown(x):
    return [x, *(countdown(x - 1) if x else [])]


class Job:
    def __init__(self, name):
        self.name = name

    @uses_appid("stt", timeout=0)
    def run(self, x, *, lease=INJECTED):
        return self.name, x, lease.appid[0]

    @classmethod
    @uses_appid("stt", timeout=0)
    def below_class(cls, x, *, lease=INJECTED):
        return cls.__name__, x, lease.appid[0]

    @uses_appid("stt", timeout=0)
    @classmethod
    def above_class(cls, x, *, lease=INJECTED):
        return cls.__name__, x, lease.appid[0]

    @uses_appid("stt", timeout=0)
    @staticmethod
    def above_static(x, *, lease=INJECTED):
        return "static", x, lease.appid[0]

    @uses_appid("stt", timeout=0)
    def __call__(self, x, *, lease=INJECTED):
        return self.name, x, lease.appid[0]


@pytest.fixture
def by_value():
    """This module as it were `__main__`, or a notebook: all of it travels by value."""
    cloudpickle.register_pickle_by_value(THIS)
    yield
    cloudpickle.unregister_pickle_by_value(THIS)


def there_and_back(thing):
    return pickle.loads(cloudpickle.dumps(thing))


@pytest.mark.usefixtures("by_value")
def test_a_copy_by_value_is_another_function_and_decorated(service):
    copy = there_and_back(silent)
    assert copy is not silent and type(copy) is types.FunctionType
    assert copy(3) == 3
    assert used(service) == 1


@pytest.mark.usefixtures("by_value")
def test_a_copy_of_a_copy_is_decorated_once(service):
    copy = there_and_back(there_and_back(there_and_back(silent)))
    assert copy(3) == 3
    assert used(service) == 1
    assert len(cloudpickle.dumps(copy)) < 1.5 * len(cloudpickle.dumps(silent))


@pytest.mark.usefixtures("by_value")
def test_a_function_that_calls_itself_stays_decorated_all_the_way(service):
    assert there_and_back(countdown)(2) == [2, 1, 0]
    assert used(service) == 3


@pytest.mark.usefixtures("by_value")
@pytest.mark.parametrize(
    "find",
    [
        lambda: Job("mine").run,
        lambda: functools.partial(Job.run, Job("mine")),
        lambda: Job("mine"),
        lambda: Job("mine").below_class,
        lambda: Job.above_class,
        lambda: Job.above_static,
    ],
    ids=["bound", "unbound", "call", "below_class", "above_class", "above_static"],
)
def test_methods_travel_with_their_class(service, find):
    assert there_and_back(find())(1)[1:] == (1, "a")
    assert used(service) == 1


@pytest.mark.parametrize("kind", EVERY)
def test_every_kind_inside_a_function_stays_what_it_is(service, kind):
    mine = "closed over"
    copy = there_and_back(uses_appid("stt")(kind(lambda lease: (mine, lease.held))))
    decorated = uses_appid("stt")(kind(str))
    for of in (
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
    ):
        assert of(copy) == of(decorated)
    assert finish(copy(), asyncio.run) == (mine, True)
    assert used(service) == 1


@pytest.mark.usefixtures("service")
def test_what_is_sent_into_a_copied_async_generator_reaches_its_body():
    @uses_appid("stt")
    async def echo(lease=INJECTED):
        try:
            yield (yield lease.held)
        except ValueError as error:
            yield str(error)

    async def talk():
        talking = there_and_back(echo)()
        assert await anext(talking) is True
        assert await talking.asend("hello") == "hello"
        assert await talking.athrow(ValueError("thrown")) == "thrown"
        assert [item async for item in talking] == []

    asyncio.run(talk())


def test_a_caller_of_a_copy_may_pass_its_own_lease(service):
    @uses_appid("stt")
    def job(x, lease: Lease = INJECTED):
        return x, lease

    assert there_and_back(job)(1, lease="mine") == there_and_back(job)(1, "mine") == (1, "mine")
    assert used(service) == 0


@pytest.mark.parametrize("wrap", [functools.partial, lambda function: [function]])
def test_what_holds_one_travels_with_it(service, wrap):
    held = there_and_back(wrap(uses_appid("stt")(lambda x: x)))
    assert (held[0] if isinstance(held, list) else held)(1) == 1
    assert used(service) == 1


def test_stacked_decorators_travel(service):
    @uses_appid("stt", inject="source")
    @uses_appid("stt", inject="target")
    def job(*, source=INJECTED, target=INJECTED):
        return source.held, target.held

    assert there_and_back(job)() == (True, True)
    assert used(service) == 2


def test_a_product_function_travels(service):
    product = "stt"
    assert there_and_back(uses_appid(lambda x: product)(lambda x: x))(1) == 1
    assert used(service) == 1


def test_a_function_of_a_module_travels_by_name():
    assert there_and_back(silent) is silent
    assert there_and_back(Job.run) is Job.run


@pytest.mark.parametrize("pickler", [pickle, cloudpickle, dill])
def test_what_has_no_name_travels_by_what_it_is_made_of(service, pickler):
    job = uses_appid("stt")(functools.partial(max, 3))
    assert pickler.loads(pickler.dumps(job))(4) == 4
    assert used(service) == 1


def test_a_function_made_of_its_parts_is_decorated(service):
    """Recipes that copy functions, without any pickler."""
    parts = silent.__code__, silent.__globals__, "copy", silent.__defaults__, silent.__closure__
    assert types.FunctionType(*parts)(3) == 3
    assert used(service) == 1


def test_one_that_leases_from_a_client_of_this_process_is_refused():
    with AppIdClient("http://127.0.0.1:9") as client:
        job = uses_appid("stt", client=client)(lambda: None)
        with pytest.raises(pickle.PicklingError, match="with client=, which.*leave client= out"):
            cloudpickle.dumps(job)


@pytest.mark.parametrize("made_of", [lambda: None, functools.partial(max, 3)])
def test_one_that_leases_from_a_pool_is_refused(made_of):
    with pytest.raises(pickle.PicklingError, match="with pool=.*a module that the other process"):
        cloudpickle.dumps(uses_appid(pool=FakePool())(made_of))


def test_dill_refuses_what_it_cant_find_again():
    with pytest.raises(pickle.PicklingError, match="define it in a module"):
        dill.dumps(leased(lambda: None))


def in_another_process(program, sent):
    load = "import sys; from pickle import loads; job = loads(sys.stdin.buffer.read())\n"
    return subprocess.run(
        [sys.executable, "-c", load + program], input=sent, capture_output=True, timeout=60
    )


def test_where_the_name_stands_for_nothing_loading_says_what_to_do():
    main = types.ModuleType("elsewhere")
    program = "from appid_manager_client import uses_appid\n@uses_appid('stt')\ndef job(): ..."
    sys.modules["elsewhere"] = main
    try:
        exec(program, vars(main))
        sent = pickle.dumps(main.job)
    finally:
        del sys.modules["elsewhere"]
    done = in_another_process("", sent)
    *_, line = done.stderr.decode().splitlines()
    assert "can't find the decorated function elsewhere.job in this process" in line
    assert "define it in a module that the other process can import" in line


def test_where_the_name_stands_for_the_undecorated_function_loading_is_refused(monkeypatch):
    sent = pickle.dumps(silent)
    monkeypatch.setattr(THIS, "silent", silent.__wrapped__)
    with pytest.raises(pickle.UnpicklingError, match="isn't decorated with @uses_appid"):
        pickle.loads(sent)
