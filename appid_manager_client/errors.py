"""The exception tree. Every error has one root, carries its facts as attributes, and pickles.

A message says what happened, to which product at which service, and what to do about it. It is
printable, whatever the names in it hold; the attributes have them as they came. No error holds a
token. Where Python has a class for the same thing (a timeout, a refused connection, a bad value),
an error derives from that class too.
"""

from __future__ import annotations

from typing import Any, TypedDict, Unpack

from .text import printable


class Facts(TypedDict, total=False):
    """The facts that errors take as keyword arguments.

    A class takes those that it or a base of it declares as an attribute, with a default.
    """

    service: str | None
    setting: str | None
    problem: str | None
    status: int | None
    code: str | None
    maybe_received: bool
    retryable: bool
    retry_after: float | None
    product_name: str | None
    appid: str | None
    attempts: int
    waited: float
    available_at: float | None
    ticket: str | None
    place: int | None
    waiting: int | None
    come_back_at: float | None


class AppIdManagerError(Exception):
    """The root of every error of this package, but for `ValueError` and `TypeError` of arguments.

    Attributes:
        service: the base URL of the service that was asked, or `None` where none was.
    """

    service: str | None = None

    def __init__(self, message: str, **facts: Unpack[Facts]) -> None:
        # A single argument: an error that is an OSError would take two for errno and strerror.
        super().__init__(printable(message))
        unknown = [name for name in facts if not hasattr(type(self), name)]
        if unknown:
            raise TypeError(f"{type(self).__name__} has no fact {', '.join(sorted(unknown))}")
        self.__dict__.update(facts)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, self.__dict__.copy())


def _restore(
    cls: type[AppIdManagerError], args: tuple[Any, ...], state: dict[str, Any]
) -> AppIdManagerError:
    """Make an error from a pickle. Pickles name this function: it keeps its name and module."""
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(AppIdManagerError, ValueError):
    """A setting can't be used, or something is missing from the installation.

    Attributes:
        setting: the name of the argument, variable or file with which the message begins, or
            `None` where the message is about no single one.
        problem: the rest of that message, such as "must be more than 0, not -1", or `None`.
    """

    setting: str | None = None
    problem: str | None = None


def unusable(setting: str, problem: str, *, service: str | None = None) -> ConfigurationError:
    """Make the error for one setting: its message is the setting's name followed by `problem`."""
    return ConfigurationError(
        f"{setting} {problem}", setting=setting, problem=problem, service=service
    )


class TransportError(AppIdManagerError):
    """No usable answer came: the service could not be reached, broke off, or can't serve now.

    Attributes:
        maybe_received: whether the service may have got the request and acted on it. `False`
            means that it certainly did not, so that every call can be tried again.
        retryable: whether another try of the same request can help.
        status: the HTTP status of the answer, or `None` where none came.
        retry_after: how many seconds the service asked to wait (`Retry-After`), or `None`.
    """

    maybe_received: bool = True
    retryable: bool = True
    status: int | None = None
    retry_after: float | None = None


class ServiceUnavailable(TransportError, ConnectionError):
    """The service refused or broke the connection, or answered 429 or 5xx."""


class RequestTimeout(TransportError, TimeoutError):
    """The service did not connect or answer within `timeout` seconds."""


class AuthenticationError(AppIdManagerError):
    """The service refused the token (401) or the call (403). Never retried.

    Attributes:
        status: 401 or 403.
        problem: the message without the names of the settings that hold the token, or `None`.
    """

    status: int | None = None
    problem: str | None = None


class InvalidRequest(AppIdManagerError):
    """The service understood the request and refused it (4xx). Another try would be refused again.

    Attributes:
        code: the service's code for the reason, such as `"product_mismatch"` (see the wire
            contract).
        status: the HTTP status, or `None` where the client knew it without a call.
        product_name, appid: what the request was about, where it named them.
    """

    code: str | None = None
    status: int | None = None
    product_name: str | None = None
    appid: str | None = None


class ProductNotFound(InvalidRequest, LookupError):
    """The service knows no such product: a typo, or `init_product` has not run yet."""


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

    status: int | None = None
    maybe_received: bool = True


class NoAppIdInTime(AppIdManagerError, TimeoutError):
    """No AppID became free in time: the base of `NoAppIdAvailable` and `PoolTimeout`.

    Attributes:
        product_name: the product that was asked for.
        waited: how long the call took, in seconds.
        available_at: the earliest time at which another try can succeed, in seconds since the
            Unix epoch on the service's clock, or `None` where it is not known.
        retry_after: how many seconds after the error was raised that is, with the uncertainty
            about the service's clock added, or `None`.
    """

    product_name: str | None = None
    waited: float = 0.0
    available_at: float | None = None
    retry_after: float | None = None


class NoAppIdAvailable(NoAppIdInTime):
    """Every AppID of the product is in use, or used up for this hour, and the wait is over.

    Attributes:
        attempts: how many tries were made.
        ticket: the place in line, if it was kept.
        place, waiting: where in line that is (1 is next), and how many wait.
        come_back_at: when a task should come back that asked with `come_back`, in seconds since
            the Unix epoch on the service's clock; `retry_after` is until then.
    """

    attempts: int = 0
    ticket: str | None = None
    place: int | None = None
    waiting: int | None = None
    come_back_at: float | None = None


class PoolTimeout(NoAppIdInTime):
    """No lease of the pool became free in time."""


class LeaseLost(AppIdManagerError):
    """The AppID is no longer held; the message says why.

    The lease's `ttl` ran out, somebody else ended the lease, you gave it back yourself, its client
    or pool was closed, or this is a forked child, whose parent holds it.

    Attributes:
        product_name, appid: what was held.
    """

    product_name: str | None = None
    appid: str | None = None


class LeaseNotHeld(AppIdManagerError):
    """The lease has no AppID yet: it was not acquired."""


class LeaseInUse(AppIdManagerError):
    """The lease already holds an AppID or waits for one: it serves one block at a time."""


class Closed(AppIdManagerError):
    """The client or pool gives out no more AppIDs: the base of `ClientClosed` and `PoolClosed`."""


class ClientClosed(Closed):
    """The client was closed; it acquires no more AppIDs."""


class PoolClosed(Closed):
    """The pool was closed; it hands out no more leases."""
