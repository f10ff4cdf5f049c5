"""How callers of the field's services call them: `requests.post` for each call, no session."""

from __future__ import annotations

import requests


def pair(url: str) -> None:
    """Acquire an AppID of the product `bench`, and release it."""
    about = {"productName": "bench"}
    got = requests.post(f"{url}/api/appid/acquire", json=about, timeout=60).json()
    about["appid"] = got["appid"]
    requests.post(f"{url}/api/appid/release", json=about, timeout=60).raise_for_status()
