"""What a lease tells as data, of both kinds and against both services: holder, id, fence, JSON."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from appid_manager_client import Lease, LeaseNotHeld, LeasePool
from tests.support.field import FieldService
from tests.support.services import AnyService, client_of

MakeLease = Callable[..., Lease]


@pytest.fixture(params=["client's", "pool's"])
def make(request: pytest.FixtureRequest, any_service: AnyService) -> Iterator[MakeLease]:
    """Makes a lease, of a client or of a pool, with the options of either."""
    any_service.init("p", {"a": 1})
    pools: list[LeasePool] = []
    with client_of(any_service) as client:

        def make(**options: Any) -> Lease:
            if request.param == "client's":
                return client.lease("p", **options)
            pools.append(client.pool("p", **options))
            return pools[-1].lease()

        yield make


def is_extended(service: AnyService) -> bool:
    return not isinstance(service, FieldService)


def test_it_names_its_holder_its_id_and_its_fence(any_service: AnyService, make: MakeLease) -> None:
    with make(holder="night run") as lease:
        assert lease.holder == "night run"
        assert (lease.lease_id is not None) == is_extended(any_service)
        assert (lease.fence is not None) == is_extended(any_service)
        held = lease.lease_id, lease.fence
    assert lease.holder == "night run", "known after the release, for logs"
    assert (lease.lease_id, lease.fence) == held


def test_before_it_was_acquired_there_is_nothing_to_tell(make: MakeLease) -> None:
    for fact in ("holder", "lease_id", "fence"):
        with pytest.raises(LeaseNotHeld):
            getattr(make(holder="night run"), fact)


def test_as_data_it_is_json(any_service: AnyService, make: MakeLease) -> None:
    with make(holder="night run") as lease:
        told = json.loads(json.dumps(lease.as_dict()))
        assert told == {
            "product_name": "p",
            "appid": "a",
            "vid": 1,
            "start_time": any_service.grants[0].starttime,
            "hour_end_ms": told["hour_end_ms"],
            "lease_id": lease.lease_id,
            "fence": lease.fence,
            "holder": "night run",
            "state": "held",
        }
        if is_extended(any_service):
            assert told["hour_end_ms"] == pytest.approx(any_service.hour_end() * 1000)
    released = lease.as_dict()
    assert released.pop("state") in ("releasing", "released")
    told.pop("state")
    assert released == told


def test_as_data_one_that_holds_nothing_says_so(make: MakeLease) -> None:
    told = make().as_dict()
    assert told.pop("product_name") == "p"
    assert told.pop("state") == "new"
    assert set(told.values()) == {None}


def test_as_data_nothing_is_asked_for(any_service: AnyService, make: MakeLease) -> None:
    with make() as lease:
        calls = len(any_service.calls)
        lease.as_dict()
        assert len(any_service.calls) == calls


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
def test_it_stays_in_its_process(make: MakeLease, copied: Callable[[Lease], object]) -> None:
    with make() as lease, pytest.raises(TypeError, match=r"can't be pickled.*pass lease\.as_dict"):
        copied(lease)
