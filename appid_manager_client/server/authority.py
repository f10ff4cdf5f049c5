"""`host:port` as it stands in `Host`, in an origin and in settings. No I/O."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import NamedTuple

_AUTHORITY = re.compile(
    r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::(?P<port>\d{0,5}))?"
)
_URL = re.compile(r"https?://(?P<authority>[^/?#\\]+)(?P<path>/[^?#\s\\]*)?", re.IGNORECASE)
_NUMERIC = re.compile(r"[0-9a-fx.]+")
_DEFAULT_PORTS = ("", "80", "443")


class Authority(NamedTuple):
    """A host, and its port unless that is one of the default ports 80 and 443.

    The host is in lower case and without a final dot; an IPv6 address is in its short form.
    """

    host: str
    port: int | None

    @property
    def is_loopback(self) -> bool:
        """Whether it is `localhost` or an address that only this machine can reach."""
        if self.host == "localhost":
            return True
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            return _is_short_loopback(self.host)
        mapped = getattr(address, "ipv4_mapped", None)
        return bool(mapped.is_loopback if mapped is not None else address.is_loopback)


def parse_authority(text: str) -> Authority | None:
    """Parse `host` or `host:port`; `None` for anything else, a user name or a path included."""
    # Some letters that aren't ASCII have one of ASCII as their lower case.
    found = _AUTHORITY.fullmatch(text.strip(" \t").lower()) if text.isascii() else None
    if found is None:
        return None
    host = found["name"]
    if host is None:
        try:
            host = str(ipaddress.IPv6Address(found["v6"]))
        except ValueError:
            return None
    host = host.removesuffix(".")
    port = found["port"] or ""
    if not host or int(port or 0) > 65535:
        return None
    return Authority(host, None if port in _DEFAULT_PORTS else int(port))


def parse_origin(text: str) -> Authority | None:
    """The host and port of an origin such as `https://host:port`; `None` for any other text."""
    found = _URL.fullmatch(text.strip(" \t"))
    return None if found is None or found["path"] else parse_authority(found["authority"])


def parse_url(text: str) -> Authority | None:
    """The host and port of an http or https URL, which may have a path; `None` for any other."""
    found = _URL.fullmatch(text)
    return None if found is None else parse_authority(found["authority"])


def _is_short_loopback(host: str) -> bool:
    """Whether it is a short or hexadecimal way to write 127.0.0.1, such as 127.1."""
    if not _NUMERIC.fullmatch(host):
        return False
    try:
        return socket.inet_aton(host)[0] == 127
    except OSError:
        return False
