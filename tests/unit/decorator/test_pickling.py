"""Pickled by module and name, as functions are: another process gets the decorated function."""

import multiprocessing
import pickle

import pytest

from appid_manager_client import INJECTED

from .samples import Job, leased

pytestmark = pytest.mark.usefixtures("pool")


@leased
def bill(x, *, lease=INJECTED):
    return x, lease.appid


def plain(x):
    return x


aside = leased(plain)

PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_function_comes_back_as_itself(protocol):
    assert pickle.loads(pickle.dumps(bill, protocol)) is bill


@pytest.mark.parametrize("name", ["above_class", "below_class", "above_static", "below_static"])
def test_a_method_of_a_class_comes_back_decorated(name):
    assert pickle.loads(pickle.dumps(getattr(Job, name)))(1)[1:] == (1, "appid1")


def test_a_method_comes_back_with_a_copy_of_its_instance_or_unbound():
    assert pickle.loads(pickle.dumps(Job("mine").run))(1) == ("mine", 1, "appid1")
    assert pickle.loads(pickle.dumps(Job.run))(Job("given"), 1) == ("given", 1, "appid2")


def test_what_would_come_back_undecorated_is_refused():
    with pytest.raises(pickle.PicklingError, match="plain isn't the decorated function"):
        pickle.dumps(aside)


def test_a_local_function_is_refused():
    with pytest.raises(pickle.PicklingError, match="<locals>"):
        pickle.dumps(leased(lambda: None))


def test_the_placeholder_stays_the_one_placeholder():
    assert pickle.loads(pickle.dumps(INJECTED)) is INJECTED


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_another_process_runs_it_decorated(method):
    context = multiprocessing.get_context(method)
    with context.Pool(1) as processes:
        assert processes.apply(bill, (1,)) == (1, "appid1")
        assert processes.apply(Job("sent").run, (2,)) == ("sent", 2, "appid2")
        processes.close()
        processes.join()
