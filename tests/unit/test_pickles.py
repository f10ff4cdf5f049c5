"""Pickles of version 0.1 load: task queues keep results and errors while workers are updated."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import pickle
import pickletools
from pathlib import Path
from typing import Any

import pytest

import appid_manager_client
from appid_manager_client import errors

OLD = json.loads((Path(__file__).parent / "pickles_of_0_1.json").read_text("ascii"))
"""Made by version 0.1, one of each public class, as base64 of pickle protocol 4."""

ERRORS = sorted(name for name in OLD if hasattr(errors, name))


def old(name: str) -> Any:
    return pickle.loads(base64.b64decode(OLD[name]))


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_of_before_comes_back_with_its_message_and_its_facts(name: str) -> None:
    error = old(name)
    cls = getattr(appid_manager_client, name)
    assert type(error) is cls
    assert str(error) == "it went wrong"
    assert all(hasattr(cls, fact) for fact in vars(error))
    assert error.service == "some service"


def test_facts_of_before_are_where_they_were() -> None:
    error = old("NoAppIdAvailable")
    assert (error.product_name, error.attempts, error.waited) == ("some product_name", 17, 17)
    assert old("TransportError").maybe_received is False


def test_values_of_before_come_back() -> None:
    assert old("INJECTED") is appid_manager_client.INJECTED
    grant = old("Acquisition")
    assert type(grant) is appid_manager_client.Acquisition
    assert grant == ("a1", "v1", 1700000000000, "p")
    assert old("Reaped") == appid_manager_client.Reaped("p", "a1", "host", True)
    assert old("PendingRelease") == appid_manager_client.PendingRelease("p", "a1", 1.5, 2, "why")
    stats = old("PoolStats")
    assert type(stats) is appid_manager_client.PoolStats
    assert dataclasses.astuple(stats) == tuple(range(22)), "its pickle has no names of fields"
    assert old("Event").kind is appid_manager_client.EventKind.WAITING


@pytest.mark.parametrize("name", sorted(OLD))
def test_what_is_pickled_now_names_only_public_modules(name: str) -> None:
    """So that the files can be moved again without an alias for each."""
    value = old(name)
    pickled = pickle.dumps(value)
    assert pickle.loads(pickled) is value or pickle.loads(pickled).__reduce_ex__(2) == (
        value.__reduce_ex__(2)
    )
    named = {
        line.split("'")[1].split()[0]
        for line in _opcodes(pickled)
        if "appid_manager_client" in line
    }
    assert named <= {
        "appid_manager_client",
        "appid_manager_client.errors",
        "appid_manager_client.events",
    }


def _opcodes(pickled: bytes) -> list[str]:
    out = io.StringIO()
    pickletools.dis(pickled, out)
    return [line for line in out.getvalue().splitlines() if "UNICODE" in line]
