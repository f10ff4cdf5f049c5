"""Which proxies of the environment the requests to a service go through. No I/O."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests

_SCHEMES = ("http", "https", "all")


def proxies_for(base_url: str, session: requests.Session) -> dict[str, Any]:
    """The proxies for requests to a service, as `requests` takes them with each call.

    `None` says that there is none, whatever the environment names. To a service on this machine
    only the proxies count that the session itself has.
    """
    proxies: dict[str, Any] = dict.fromkeys(_SCHEMES)
    own = getattr(session, "proxies", None)
    if isinstance(own, Mapping):
        proxies.update(own)
    if getattr(session, "trust_env", True) and not is_loopback(base_url):
        # requests, too, prefers those of the environment.
        proxies.update(requests.utils.get_environ_proxies(base_url, no_proxy=None))
    return proxies


def is_loopback(url: str) -> bool:
    """Whether a URL's host is this machine by its very name or address. Asks no resolver."""
    host = (urlsplit(url).hostname or "").removesuffix(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            address = ipaddress.IPv4Address(socket.inet_aton(host))  # as in 127.1
        except OSError:
            return False
    address = getattr(address, "ipv4_mapped", None) or address
    # To connect to 0.0.0.0 or :: is to connect to this machine.
    return address.is_loopback or address.is_unspecified
