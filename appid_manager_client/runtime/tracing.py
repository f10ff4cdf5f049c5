"""The hook of tracing: which spans there are, and whose context a call on another thread carries.

Knows no tracing library, and does nothing until one is plugged in; `integrations/otel.py` is such
a plug. Nothing here is ambient by itself: the tracer has the context.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeVar

T = TypeVar("T")

Fact = str | float


class OpenSpan(Protocol):
    """A span that is no block of code: that of a lease, from its grant to its end."""

    def end(self, **facts: Fact) -> None:
        """End it. Only the first call does anything."""


class Tracer(Protocol):
    """What a tracing library has to do. No method may raise."""

    def span(
        self, name: str, facts: dict[str, Fact], parent: OpenSpan | None
    ) -> AbstractContextManager[object]:
        """A span around a block of code, a child of the current one.

        `parent` is its parent where no span is current, as in a thread of the background.
        """

    def open(self, name: str, facts: dict[str, Fact]) -> OpenSpan:
        """Begin a span, a child of the current one, that does not become the current one."""

    def carry(self, work: Callable[[], T]) -> Callable[[], T]:
        """Return `work` such that it runs in the present context on whatever thread."""


_tracer: Tracer | None = None

_NOTHING = nullcontext()


def use_tracer(tracer: Tracer | None) -> None:
    """Plug a tracer in for this process, or pull it out."""
    global _tracer
    _tracer = tracer


def span(
    name: str, *, parent: OpenSpan | None = None, **facts: Fact | None
) -> AbstractContextManager[object]:
    """A span around a block of code. Facts that are `None` are left out."""
    tracer = _tracer
    return _NOTHING if tracer is None else tracer.span(name, _known(facts), parent)


def open_span(name: str, **facts: Fact | None) -> OpenSpan | None:
    """Begin a span that ends elsewhere; `None` where nothing is traced."""
    tracer = _tracer
    return None if tracer is None else tracer.open(name, _known(facts))


def carry(work: Callable[[], T]) -> Callable[[], T]:
    """`work`, for another thread."""
    tracer = _tracer
    return work if tracer is None else tracer.carry(work)


def _known(facts: dict[str, Fact | None]) -> dict[str, Fact]:
    return {name: fact for name, fact in facts.items() if fact is not None}
