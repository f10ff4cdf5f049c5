"""The exception tree. Every error carries its facts as attributes, has one root, and pickles.

Errors say what happened, to which product at which service, and what to do; none ever holds a token.
Where Python has the same idea (a timeout, a refused connection, a bad value) an error is that too.
"""

from __future__ import annotations

from typing import Any


class AppIdManagerError(Exception):
    """The root of every error that this package raises, apart from `ValueError` and `TypeError` for wrong arguments.

    Attributes:
        service: the base URL of the service that was asked, or `None` where none was.
    """

    def __init__(self, message: str, *, service: str | None = None) -> None:
        # One message only: with two arguments an OSError in the family would take them for errno and strerror.
        super().__init__(message)
        self.service = service

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, self.__dict__.copy())


def _restore(
    cls: type[AppIdManagerError], args: tuple[Any, ...], state: dict[str, Any]
) -> AppIdManagerError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(AppIdManagerError, ValueError):
    """A setting can't be used. The message names the argument, variable or file, and what it held."""


class TransportError(AppIdManagerError):
    """No usable answer came: the service could not be reached, broke off, or said that it can't serve now.

    Attributes:
        maybe_received: whether the service may have got the request, and acted on it. `False` means
            that it certainly did not, so that anything can be tried again without a second effect.
        retryable: whether another try of the same request can help.
        status: the HTTP status of the answer, or `None` where none came.
        retry_after: how many seconds the service asked to wait (`Retry-After`), or `None`.
    """

    def __init__(
        self,
        message: str,
        *,
        service: str | None = None,
        maybe_received: bool = True,
        retryable: bool = True,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, service=service)
        self.maybe_received = maybe_received
        self.retryable = retryable
        self.status = status
        self.retry_after = retry_after


class ServiceUnavailable(TransportError, ConnectionError):
    """The service refused or broke the connection, or answered 429 or 5xx."""


class RequestTimeout(TransportError, TimeoutError):
    """The service did not connect or answer within `timeout` seconds."""


class AuthenticationError(AppIdManagerError):
    """The service refused the token (401) or the call (403). Never retried.

    Attributes:
        status: 401 or 403.
    """

    def __init__(
        self, message: str, *, service: str | None = None, status: int | None = None
    ) -> None:
        super().__init__(message, service=service)
        self.status = status


class InvalidRequest(AppIdManagerError):
    """The service understood the request and refused it (4xx). Another try would be refused again.

    Attributes:
        code: the service's code for the reason, such as `"product_mismatch"` (see the wire contract).
        status: the HTTP status, or `None` where the client knew without asking.
        product_name, appid: what the request was about, where it named them.
    """

    def __init__(
        self,
        message: str,
        *,
        service: str | None = None,
        code: str | None = None,
        status: int | None = None,
        product_name: str | None = None,
        appid: str | None = None,
    ) -> None:
        super().__init__(message, service=service)
        self.code = code
        self.status = status
        self.product_name = product_name
        self.appid = appid


class ProductNotFound(InvalidRequest, LookupError):
    """No such product was ever initialised at this service. A typo, or `init_product` has not run yet."""


class AppIdNotFound(InvalidRequest, LookupError):
    """The service knows no such AppID."""


class ProductMismatch(InvalidRequest):
    """The AppID belongs to another product."""


class AppIdConflict(InvalidRequest):
    """`init_product` named an AppID that belongs to another product; nothing was changed."""


class ProtocolError(AppIdManagerError):
    """What came is no answer of the wire contract. The message says what came instead.

    Attributes:
        status: the HTTP status of the answer.
        maybe_received: whether the service may have acted on the request (see `TransportError`).
    """

    def __init__(
        self,
        message: str,
        *,
        service: str | None = None,
        status: int | None = None,
        maybe_received: bool = True,
    ) -> None:
        super().__init__(message, service=service)
        self.status = status
        self.maybe_received = maybe_received


class NoAppIdAvailable(AppIdManagerError, TimeoutError):
    """Every AppID of the product is in use or used up for this hour, and the wait for one is over.

    Attributes:
        product_name: the product that was asked for.
        attempts: how many tries were made.
        waited: how long the call took, in seconds.
        available_at: the earliest moment at which another try can succeed, in seconds since the
            Unix epoch on the service's clock, or `None` where it isn't known.
        retry_after: how many seconds from now (when the error was raised) that is, the uncertainty about the
            service's clock included, or `None`.
    """

    def __init__(
        self,
        message: str,
        *,
        service: str | None = None,
        product_name: str | None = None,
        attempts: int = 0,
        waited: float = 0.0,
        available_at: float | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, service=service)
        self.product_name = product_name
        self.attempts = attempts
        self.waited = waited
        self.available_at = available_at
        self.retry_after = retry_after


class LeaseLost(AppIdManagerError):
    """The AppID is no longer held: its `ttl` ran out, or somebody else ended the lease.

    Attributes:
        product_name, appid: what was held.
    """

    def __init__(
        self,
        message: str,
        *,
        service: str | None = None,
        product_name: str | None = None,
        appid: str | None = None,
    ) -> None:
        super().__init__(message, service=service)
        self.product_name = product_name
        self.appid = appid


class LeaseNotHeld(AppIdManagerError):
    """The lease has no AppID: it was not acquired yet."""


class LeaseInUse(AppIdManagerError):
    """The lease holds, or waits for, an AppID already: one lease serves one block at a time."""


class ClientClosed(AppIdManagerError):
    """The client was closed; it asks for no more AppIDs."""


class PoolTimeout(AppIdManagerError, TimeoutError):
    """No lease of the pool became free in time.

    Attributes:
        product_name: the pool's product.
        waited: how long the checkout waited, in seconds.
        available_at: as in `NoAppIdAvailable`.
    """

    def __init__(
        self,
        message: str,
        *,
        service: str | None = None,
        product_name: str | None = None,
        waited: float = 0.0,
        available_at: float | None = None,
    ) -> None:
        super().__init__(message, service=service)
        self.product_name = product_name
        self.waited = waited
        self.available_at = available_at


class PoolClosed(AppIdManagerError):
    """The pool was closed; it hands out no more leases."""
