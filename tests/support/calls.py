"""Every call of the client, by name, for tests of what holds for each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from appid_manager_client import AppIdClient

CALLS: dict[str, Callable[[AppIdClient], Any]] = {
    "acquire": lambda client: client.acquire_appid("p", max_retries=0),
    "acquire_bounded": lambda client: client.acquire_appid("p", max_retries=0, timeout=30),
    "lease": lambda client: client.lease("p", max_retries=0).acquire(),
    "release": lambda client: client.release_appid("a", "p"),
    "init": lambda client: client.init_product("p", {"a": 1}),
    "status": lambda client: client.get_status("p"),
}
