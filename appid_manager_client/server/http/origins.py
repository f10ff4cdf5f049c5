"""Which requests a browser's page of another site may have sent: a rule over headers. No I/O.

A page anywhere can have its visitor's browser send a POST to a service on that machine, and, where
its author controls a name server, under a name that leads to 127.0.0.1 (DNS rebinding). Browsers
say in `Sec-Fetch-Site`, `Origin` and `Host` where a request comes from; other callers send no more
than `Host`. Tokens are left to `authentication`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..authority import Authority, parse_authority, parse_origin, parse_url

_OWN_SITES = ("same-origin", "none")


class Objection(NamedTuple):
    """Why a request is refused: the header, its value, and what to do for who is no stranger."""

    header: str
    value: str
    advice: str


class Origins:
    """The rule, for one service.

    Args:
        public_urls: the URLs under which browsers reach the service.
        allowed_hosts: names under which it is called, besides the loopback addresses. One without
            a port holds for every port.
        guards_host: whether `Host` is looked at, for every method. A token makes that needless:
            a page that came by DNS rebinding doesn't have it.
    """

    def __init__(
        self, public_urls: Iterable[str], allowed_hosts: Iterable[str], *, guards_host: bool
    ) -> None:
        public = [parse_url(url) for url in public_urls]
        allowed = [parse_authority(host) for host in allowed_hosts]
        self._public = {authority for authority in public if authority is not None}
        self._allowed = {authority for authority in allowed if authority is not None}
        self._any_port = {authority.host for authority in self._public}
        self._any_port |= {a.host for a in self._allowed if a.port is None}
        self._guards_host = guards_host

    def objection(self, method: str, headers: Iterable[tuple[bytes, bytes]]) -> Objection | None:
        """Return why the request is refused, or `None` for one that may pass.

        Args:
            method: the method, in upper case.
            headers: those of the request, their names in lower case.
        """
        if method != "POST" and not self._guards_host:
            return None
        hosts, origins, sites = [], [], []
        for name, value in headers:
            if name == b"host":
                hosts.append(value.decode("latin-1").strip())
            elif name == b"origin":
                origins.append(value.decode("latin-1").strip())
            elif name == b"sec-fetch-site":
                sites.append(value.decode("latin-1").strip())
        hosts = [host for host in hosts if host]
        if self._guards_host:
            for host in hosts:
                if not self._is_own_host(parse_authority(host)):
                    return Objection("Host", host, _ALLOW_HOST)
        if method != "POST":
            return None
        if sites:
            foreign = [site for site in sites if site not in _OWN_SITES]
            return Objection("Sec-Fetch-Site", foreign[0], _NO_OPTION) if foreign else None
        for origin in origins:
            if not self._is_own_origin(origin, hosts):
                return Objection("Origin", origin, _PUBLIC_URL)
        return None

    def _is_own_host(self, host: Authority | None) -> bool:
        if host is None:
            return False
        return host.is_loopback or host.host in self._any_port or host in self._allowed

    def _is_own_origin(self, origin: str, hosts: list[str]) -> bool:
        authority = parse_origin(origin)
        if authority is None:
            return False
        # Of several hosts, nobody knows which one the browser meant.
        return authority in self._public or [authority] == [parse_authority(h) for h in hosts]


_ALLOW_HOST = (
    "a service without a token is called by a loopback address or localhost; "
    "--allowed-host allows another name, such as host.docker.internal"
)
_PUBLIC_URL = (
    "a page of another origin may change nothing here; "
    "--public-url names the URL under which browsers reach the service"
)
_NO_OPTION = (
    "a page of another origin may change nothing here; "
    "unlike another Host (--allowed-host) or Origin (--public-url), no option allows this"
)
