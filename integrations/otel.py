"""OpenTelemetry: spans for acquire, wait, lease and release, as children of the caller's span.

Calls that run on threads of this package carry the caller's context, so that the spans of an
instrumented `requests` are in their places, too. Nothing of it is imported without `instrument`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

from appid_manager_client import ConfigurationError, __version__
from appid_manager_client.runtime.tracing import Fact, OpenSpan, use_tracer
from appid_manager_client.text import printable

try:
    from opentelemetry import context, trace
except ImportError as missing:
    raise ConfigurationError(
        'spans need the OpenTelemetry API: pip install "appid-manager-client[otel]"'
    ) from missing

__all__ = ["instrument", "uninstrument"]

T = TypeVar("T")

_PREFIX = "appid_manager."


def instrument(tracer_provider: trace.TracerProvider | None = None) -> None:
    """Trace the acquires, waits, leases and releases of all clients of this process.

    Args:
        tracer_provider: where the spans go; `None`: OpenTelemetry's global provider.
    """
    use_tracer(_Tracer(trace.get_tracer(__name__, __version__, tracer_provider)))


def uninstrument() -> None:
    """Trace no more. Spans that are open end with their leases."""
    use_tracer(None)


class _LeaseSpan:
    """The span of one lease."""

    def __init__(self, span: trace.Span) -> None:
        self.span = span

    def end(self, **facts: Fact) -> None:
        if self.span.is_recording():
            self.span.set_attributes(_attributes(facts))
            self.span.end()


class _Tracer:
    """The package's tracing hook on OpenTelemetry. See `runtime/tracing.py`."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def span(
        self, name: str, facts: dict[str, Fact], parent: OpenSpan | None
    ) -> AbstractContextManager[object]:
        around = None
        if isinstance(parent, _LeaseSpan) and not trace.get_current_span().is_recording():
            around = trace.set_span_in_context(parent.span)
        return self._tracer.start_as_current_span(
            _PREFIX + name, around, trace.SpanKind.INTERNAL, _attributes(facts)
        )

    def open(self, name: str, facts: dict[str, Fact]) -> OpenSpan:
        return _LeaseSpan(self._tracer.start_span(_PREFIX + name, attributes=_attributes(facts)))

    def carry(self, work: Callable[[], T]) -> Callable[[], T]:
        present = context.get_current()

        def in_present_context() -> T:
            token = context.attach(present)
            try:
                return work()
            finally:
                context.detach(token)

        return in_present_context


def _attributes(facts: dict[str, Fact]) -> dict[str, Fact]:
    return {
        _PREFIX + name: printable(fact) if isinstance(fact, str) else fact
        for name, fact in facts.items()
    }
