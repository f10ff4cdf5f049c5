"""The exception tree: one root, Python's own classes as bases, facts as attributes, pickles."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import pytest

import appid_manager_client
from appid_manager_client import errors
from appid_manager_client.errors import AppIdManagerError, NoAppIdAvailable

CLASSES = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, AppIdManagerError)
]


def made(cls: type[AppIdManagerError]) -> AppIdManagerError:
    """An error with a value other than the default in every field."""
    facts: Any = {}
    for name in errors.Facts.__annotations__:
        if not hasattr(cls, name):
            continue
        default = getattr(cls, name)
        if isinstance(default, bool):
            facts[name] = not default
        elif isinstance(default, (int, float)):
            facts[name] = 17
        else:
            facts[name] = f"some {name}"
    return cls("it went wrong", **facts)


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_comes_back_whole_from_each_pickle_and_from_a_copy(
    cls: type[AppIdManagerError],
) -> None:
    error = made(cls)
    pickled = [pickle.dumps(error, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    for back in [*map(pickle.loads, pickled), copy.copy(error)]:
        assert type(back) is cls
        assert str(back) == "it went wrong"
        assert vars(back) == vars(error) and vars(back)


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_has_one_message_and_no_errno(cls: type[AppIdManagerError]) -> None:
    error = made(cls)
    assert error.args == ("it went wrong",)
    assert getattr(error, "errno", None) is None


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("NoAppIdAvailable", TimeoutError),
        ("PoolTimeout", TimeoutError),
        ("RequestTimeout", TimeoutError),
        ("ServiceUnavailable", ConnectionError),
        ("ConfigurationError", ValueError),
        ("ProductNotFound", LookupError),
        ("AppIdNotFound", LookupError),
        ("ProductNotFound", errors.InvalidRequest),
        ("AppIdNotFound", errors.InvalidRequest),
        ("ProductMismatch", errors.InvalidRequest),
        ("AppIdConflict", errors.InvalidRequest),
        ("NoAppIdAvailable", errors.NoAppIdInTime),
        ("PoolTimeout", errors.NoAppIdInTime),
        ("ClientClosed", errors.Closed),
        ("PoolClosed", errors.Closed),
        ("RequestTimeout", errors.TransportError),
        ("ServiceUnavailable", errors.TransportError),
    ],
)
def test_an_error_can_be_caught_by_its_bases(name: str, base: type[Exception]) -> None:
    assert issubclass(getattr(errors, name), base)


def test_every_error_has_the_root_and_is_exported() -> None:
    raised = {cls.__name__ for cls in CLASSES}
    assert raised <= set(appid_manager_client.__all__)


def test_an_authentication_error_is_no_transport_error_that_a_loop_would_retry() -> None:
    assert not issubclass(errors.AuthenticationError, errors.TransportError)
    assert not issubclass(errors.ProtocolError, errors.TransportError)


def test_a_fact_that_a_class_does_not_have_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="LeaseInUse has no fact attempts, waited"):
        errors.LeaseInUse("held already", waited=1.0, attempts=3)


def test_a_setting_that_cannot_be_used_is_named_and_its_problem_told_apart() -> None:
    error = errors.unusable("timeout", "must be more than 0, not -1")
    assert str(error) == "timeout must be more than 0, not -1"
    assert (error.setting, error.problem) == ("timeout", "must be more than 0, not -1")


def test_a_subclass_of_a_user_pickles_too() -> None:
    error = Derived("gone", product_name="p", attempts=3)
    back = pickle.loads(pickle.dumps(error))
    assert isinstance(back, Derived)
    assert back.attempts == 3


class Derived(NoAppIdAvailable):
    """An error of a user's own."""
