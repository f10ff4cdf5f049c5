"""What holds for functions, coroutine functions, generators and async generators alike."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from appid_manager_client import Lease, uses_appid

from . import kinds
from .fakepool import FakeLease, FakePool
from .kinds import Body, finish

Kind = Callable[[Body], Callable[..., object]]

every_kind = pytest.mark.parametrize("kind", kinds.EVERY)


@every_kind
def test_the_appid_is_held_while_the_body_runs_and_given_back_at_its_end(
    pool: FakePool, kind: Kind
) -> None:
    job = uses_appid(pool=pool)(kind(lambda lease: (lease.appid, [*pool.held])))
    assert finish(job()) == ("appid1", ["appid1"])
    assert pool.ended == [("appid1", None)]
    assert finish(job()) == ("appid2", ["appid2"])


@every_kind
@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_exception_gives_the_appid_back_and_comes_through(
    pool: FakePool, kind: Kind, error: type[BaseException]
) -> None:
    def body(lease: Lease) -> None:
        raise error(lease.appid)

    job = uses_appid(pool=pool)(kind(body))
    with pytest.raises(error, match="appid1"):
        finish(job())
    assert pool.ended == [("appid1", error)]


@every_kind
def test_the_callers_own_lease_is_used_and_no_second_appid_acquired(
    pool: FakePool, kind: Kind
) -> None:
    job = uses_appid(pool=pool)(kind(lambda lease: lease))
    mine = FakeLease(pool)
    assert finish(job(lease=mine)) is mine
    assert finish(job(lease=None)) is None  # the caller knows what it does
    assert pool.asked == []


@pytest.mark.parametrize("kind", kinds.LAZY)
def test_nothing_is_acquired_before_the_body_runs(pool: FakePool, kind: Kind) -> None:
    job = uses_appid(pool=pool)(kind(lambda lease: lease.appid))
    call = job()
    assert pool.asked == []
    assert finish(call) == "appid1"
    kinds.close(job())
    assert len(pool.asked) == 1


@pytest.mark.parametrize(
    "manager, kind, name",
    [
        (contextlib.contextmanager, kinds.generator, "GeneratorContextManager"),
        (contextlib.asynccontextmanager, kinds.async_generator, "AsyncGeneratorContextManager"),
    ],
)
def test_above_a_context_manager_it_says_what_is_wrong(
    pool: FakePool, manager: Callable[..., Any], kind: Kind, name: str
) -> None:
    job = uses_appid(pool=pool)(manager(kind(lambda lease: lease)))
    with pytest.raises(TypeError, match=rf"job\(\) returned a {name}, .*directly above"):
        job()
