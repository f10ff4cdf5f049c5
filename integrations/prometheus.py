"""Prometheus: figures of this process's leases and pools, by product.

For one process and its threads. What the processes of a prefork worker do is seen through the
service's own `/metrics`, which counts what all of them ask for.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator

from appid_manager_client import (
    ConfigurationError,
    Event,
    EventKind,
    LeasePool,
    PoolStats,
)
from appid_manager_client.text import printable

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        Metric,
        SummaryMetricFamily,
    )
    from prometheus_client.registry import Collector
except ImportError as missing:
    raise ConfigurationError(
        'figures need the Prometheus client: pip install "appid-manager-client[prometheus]"'
    ) from missing

__all__ = ["LeaseMetrics"]

_WAITS = (0.01, 0.1, 1.0, 10.0, 60.0, 300.0, 900.0, 1800.0, 3600.0)
_USES = (1.0, 10.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0)

Totals = defaultdict[str, float]
"""Numbers of one product, by their names."""

_STATES: dict[str, Callable[[PoolStats], int]] = {
    "idle": lambda stats: stats.idle,
    "checked_out": lambda stats: stats.checked_out,
    "giving_back": lambda stats: stats.giving_back,
}
_COUNTERS: dict[str, tuple[str, Callable[[PoolStats], float]]] = {
    "timeouts": ("Checkouts that ended in a PoolTimeout.", lambda stats: stats.timeouts),
    "acquired": ("AppIDs that pools got from the service.", lambda stats: stats.acquired),
    "burned": ("AppID-hours that served nobody.", lambda stats: stats.burned),
    "lost": ("AppIDs that ended before a pool gave them back.", lambda stats: stats.lost),
    "errors": ("Acquires of pools, and calls for the time, that failed.", lambda s: s.errors),
}
_CHECKOUTS, _WAIT_SECONDS = "checkouts", "wait_seconds"


class LeaseMetrics(Collector):
    """The figures of one process.

    `observe` is the `on_event` hook of a client; `watch` adds a pool. Everything is by product:
    pools of one product are added up. What a pool has counted by a scrape stays when it is closed,
    or gone.

    Args:
        registry: where the figures are registered; by default that of the process.

    Raises:
        ValueError: the registry has such figures already: make one `LeaseMetrics` a process.

    Example:
        >>> metrics = LeaseMetrics()
        >>> client = AppIdClient(on_event=metrics.observe)
        >>> pool = client.pool("stt_billing", max_size=4)
        >>> metrics.watch(pool)
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._lock = threading.Lock()  # guards the pools and what they counted
        self._numbers = itertools.count()
        self._pools: dict[int, weakref.ref[LeasePool]] = {}
        self._last: dict[int, PoolStats] = {}
        self._ended: dict[str, Totals] = {}
        self._wait = Histogram(
            "appid_lease_wait_seconds",
            "Time until an AppID was granted; in a pool, of the call to the service.",
            ["product"],
            buckets=_WAITS,
            registry=registry,
        )
        self._use = Histogram(
            "appid_lease_use_seconds",
            "Time for which an AppID was held.",
            ["product"],
            buckets=_USES,
            registry=registry,
        )
        self._events = Counter(
            "appid_lease_events",
            "What happened to leases: exhausted (a wait without an AppID), deferred, lost, left.",
            ["product", "kind"],
            registry=registry,
        )
        registry.register(self)

    def observe(self, event: Event) -> None:
        """Count an event: the `on_event` hook of a client. Takes a few microseconds."""
        product = printable(event.product_name)
        if event.kind is EventKind.ACQUIRED and event.seconds is not None:
            self._wait.labels(product).observe(event.seconds)
        elif event.kind is EventKind.RELEASED and event.seconds is not None:
            self._use.labels(product).observe(event.seconds)
        elif event.kind is not EventKind.WAITING:
            self._events.labels(product, event.kind.value).inc()

    def watch(self, pool: LeasePool) -> None:
        """Add the figures of a pool. It isn't kept alive by that; a second call changes nothing."""
        with self._lock:
            if all(known() is not pool for known in self._pools.values()):
                self._pools[next(self._numbers)] = weakref.ref(pool)

    def collect(self) -> Iterator[Metric]:
        """The figures of the pools, as they are now. The registry calls it at a scrape."""
        now, sums = self._look()
        leases = GaugeMetricFamily(
            "appid_pool_leases", "AppIDs that pools hold.", labels=["product", "state"]
        )
        pending = GaugeMetricFamily(
            "appid_pool_pending", "Callers that wait for a lease of a pool.", labels=["product"]
        )
        for product, numbers in now.items():
            for state in _STATES:
                leases.add_metric([product, state], numbers[state])
            pending.add_metric([product], numbers["waiting"])
        waits = SummaryMetricFamily(
            "appid_pool_wait_seconds",
            "Checkouts of pools, and the time that callers waited for them.",
            labels=["product"],
        )
        for product, totals in sums.items():
            waits.add_metric([product], int(totals[_CHECKOUTS]), totals[_WAIT_SECONDS])
        yield from (leases, pending, waits)
        for name, (words, _) in _COUNTERS.items():
            counter = CounterMetricFamily(f"appid_pool_{name}", words, labels=["product"])
            for product, totals in sums.items():
                counter.add_metric([product], totals[name])
            yield counter

    def _look(self) -> tuple[dict[str, Totals], dict[str, Totals]]:
        """What the pools hold now, and all that they and earlier ones counted, by product."""
        now: dict[str, Totals] = {}
        with self._lock:
            for key, reference in list(self._pools.items()):
                pool = reference()
                if pool is None:
                    del self._pools[key]
                    _add(self._ended, self._last.pop(key, None))
                else:
                    self._last[key] = pool.get_stats()
            sums = {product: numbers.copy() for product, numbers in self._ended.items()}
            for stats in self._last.values():
                _add(sums, stats)
                numbers = now.setdefault(printable(stats.product_name), Totals(float))
                numbers["waiting"] += stats.waiting
                for state, read in _STATES.items():
                    numbers[state] += read(stats)
        return now, sums


def _add(sums: dict[str, Totals], stats: PoolStats | None) -> None:
    if stats is None:
        return
    numbers = sums.setdefault(printable(stats.product_name), Totals(float))
    numbers[_CHECKOUTS] += stats.checkouts
    numbers[_WAIT_SECONDS] += stats.wait_seconds
    for name, (_, read) in _COUNTERS.items():
        numbers[name] += read(stats)
