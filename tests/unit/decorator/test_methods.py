"""Methods, class and static methods in both orders, properties, `__call__`, inheritance."""

import abc
import copy
from dataclasses import dataclass

import pytest

from appid_manager_client import INJECTED

from .samples import Job, leased

pytestmark = pytest.mark.usefixtures("pool")


class Special(Job):
    @leased
    def run(self, x, lease=INJECTED):
        return "special", super().run(x, lease=lease)


def test_a_method_gets_its_instance_and_a_lease():
    assert Job().run(1) == ("job", 1, "appid1")


def test_a_method_called_through_its_class_works_as_ever():
    assert Job.run(Job("other"), 1) == ("other", 1, "appid1")


def test_a_stored_bound_method_stays_bound():
    run = Job("first").run
    Job("second")
    assert run(1) == ("first", 1, "appid1")


def test_a_methods_lease_may_come_by_position(pool):
    mine = type("Mine", (), {"appid": "mine"})()
    assert Job().run(1, mine) == ("job", 1, "mine")
    assert Job.run(Job(), 1, mine) == ("job", 1, "mine")
    assert pool.asked == []


ORDERS = pytest.mark.parametrize("order", ["above", "below"])


@pytest.mark.parametrize("through", [Job, Job()], ids=["class", "instance"])
@ORDERS
def test_a_class_method_gets_its_class_and_a_static_method_nothing(through, order):
    assert getattr(through, f"{order}_class")(1) == ("Job", 1, "appid1")
    assert getattr(through, f"{order}_static")(1) == ("static", 1, "appid2")


@ORDERS
def test_a_class_method_gets_the_subclass_it_is_called_on(order):
    assert getattr(Special, f"{order}_class")(1) == ("Special", 1, "appid1")


def test_a_property_above_it_works():
    assert Job().cost == ("job", 1)


def test_a_cached_property_above_it_takes_one_appid(pool):
    job = Job()
    assert job.once == job.once == ("job", 1)
    assert pool.used == 1


def test_an_instance_is_called_under_a_lease():
    assert Job()(5) == ("job", 5, "appid1")


def test_other_special_methods_are_found_on_the_class(pool):
    with Job() as held:
        assert held == 1
        assert pool.held == []


def test_super_reaches_the_decorated_method_and_shares_the_lease(pool):
    assert Special().run(1) == ("special", ("job", 1, "appid1"))
    assert pool.used == 1


def test_super_without_passing_the_lease_takes_a_second_appid():
    class Both(Job):
        @leased
        def run(self, x, lease=INJECTED):
            return lease.appid, super().run(x)[2]

    assert Both().run(1) == ("appid1", "appid2")


def test_an_abstract_method_stays_abstract():
    class Base(abc.ABC):
        @abc.abstractmethod
        @leased
        def below(self): ...

        @leased
        @abc.abstractmethod
        def above(self): ...

    assert Base.__abstractmethods__ == {"below", "above"}


def test_methods_of_a_dataclass_are_no_fields() -> None:
    @dataclass(frozen=True)
    class Call:
        minutes: int

        @leased
        def bill(self, *, lease=INJECTED):
            return self.minutes, lease.appid

    assert Call(3).bill() == (3, "appid1")
    assert Call(3) == Call(3)


def test_the_post_init_of_a_dataclass_may_hold_a_lease() -> None:
    @dataclass
    class Call:
        appid: str = ""

        @leased
        def __post_init__(self, *, lease=INJECTED):
            self.appid = lease.appid

    assert Call().appid == "appid1"


def test_a_bound_method_can_be_decorated():
    class Plain:
        def run(self, x, lease=INJECTED):
            return self, x, lease.appid

    plain = Plain()
    run = leased(plain.run)
    assert run(1) == (plain, 1, "appid1")
    mine = type("Mine", (), {"appid": "mine"})()
    assert run(1, mine) == (plain, 1, "mine")


def test_the_same_method_of_the_same_instance_is_equal_and_hashes_alike():
    job = Job()
    assert job.run == job.run
    assert hash(job.run) == hash(job.run)
    assert job.run != Job().run


@pytest.mark.parametrize("name", ["run", "above_class", "below_class"])
def test_the_function_of_a_bound_method_is_the_decorated_one(name):
    method = getattr(Job(), name)
    assert method.__func__(method.__self__, 2)[1:] == (2, "appid1")


def test_a_deep_copied_method_belongs_to_the_copy():
    job = Job("original")
    run = copy.deepcopy(job.run)
    job.name = "changed"
    assert run(1) == ("original", 1, "appid1")


@pytest.mark.parametrize("function", [leased(lambda: None), Job.run], ids=["function", "method"])
def test_copies_of_a_function_are_the_function(function):
    assert copy.copy(function) is function
    assert copy.deepcopy([function])[0] is function


def test_a_function_found_through_its_class_has_no_function_of_its_own():
    assert not hasattr(Job.run, "__func__")
