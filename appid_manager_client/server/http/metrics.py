"""`/metrics`: the state of all AppIDs, and what this process has done, for Prometheus.

The state is read from the database at each scrape, by the same query as `/api/appid/products`, so
every process tells the same. Counters and times are those of the process that was asked. No AppID,
holder or token is among them.
"""

from __future__ import annotations

from collections import Counter as Numbers
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from ..hours import Hours
from ..operations import Exhausted, Granted, Initialized, Outcome, Refused
from ..records import Products

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4.encode("ascii")

MOST_PRODUCTS = 200
"""So many products have figures of their own: each takes some ten series of the one who scrapes."""

OTHERS = "(other products)"
"""The label under which the figures of all further products are added up."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics(Collector):
    """The figures of one process. For use on one event loop.

    Args:
        hours: where the service's hours begin.
        expired: how many leases of each product this process found to have expired.
        held: returns how many requests are held now.
    """

    def __init__(self, hours: Hours, expired: Mapping[str, int], held: Callable[[], int]) -> None:
        self._hours = hours
        self._labels: set[str] = set()
        self._turns: dict[str, int] = {}  # the hour of the last grant, by label
        self._registry = registry = CollectorRegistry()
        self._state = _State(expired)
        registry.register(self._state)
        self._grants = Counter(
            "appid_grants", "AppIDs granted by this process.", ["product"], registry=registry
        )
        self._nothing = Counter(
            "appid_nothing_granted",
            "Acquires that this process answered with 202, by the reason; each look counts.",
            ["product", "reason"],
            registry=registry,
        )
        self._without_place = Counter(
            "appid_nothing_granted_without_place",
            "Those of them that had no place in line: at the turn they get what is left over.",
            ["product"],
            registry=registry,
        )
        self._refusals = Counter(
            "appid_refusals",
            "Calls of this process that were refused, by the code.",
            ["code"],
            registry=registry,
        )
        self._resets = Counter(
            "appid_reset_leases",
            "Live leases that an init by way of this process ended.",
            ["product"],
            registry=registry,
        )
        self._lateness = Gauge(
            "appid_first_grant_lateness_seconds",
            "How long after the last turn of the hour this process made its first grant.",
            ["product"],
            registry=registry,
        )
        self.store_seconds = Histogram(
            "appid_store_seconds",
            "Time that operations took in the store of this process: waiting, work and commit.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.commit_seconds = Histogram(
            "appid_commit_seconds",
            "Time that commits of this process took: one for all calls that came together.",
            buckets=_SECONDS,
            registry=registry,
        )
        Gauge(
            "appid_held_requests",
            "Requests of those who wait in line that this process holds now.",
            registry=registry,
        ).set_function(held)

    def note(self, outcome: Outcome) -> None:
        """Count what came of an operation."""
        match outcome:
            case Granted():
                product = self._label(outcome.product)
                self._grants.labels(product).inc()
                start = self._hours.at(outcome.start).start
                if self._turns.get(product, 0) < start:
                    self._turns[product] = start
                    self._lateness.labels(product).set((outcome.start - start) / 1000)
            case Exhausted():
                product = self._label(outcome.product)
                self._nothing.labels(product, outcome.reason).inc()
                if outcome.line is None:
                    self._without_place.labels(product).inc()
            case Initialized() if outcome.ended:
                self._resets.labels(self._label(outcome.product)).inc(outcome.ended)
            case Refused():
                self._refusals.labels(outcome.code).inc()

    def exposition(self, products: Products, history_rows: int) -> bytes:
        """All figures as text, with the state of the AppIDs as it is in `products`."""
        self._state.products = products
        self._state.history_rows = history_rows
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        """All of them, without the times at which each began, which would double their number."""
        for metric in self._registry.collect():
            metric.samples = [one for one in metric.samples if not one.name.endswith("_created")]
            yield metric

    def _label(self, product: str) -> str:
        """The label of a product: its name, unless there are too many of them."""
        if product not in self._labels:
            if len(self._labels) >= MOST_PRODUCTS:
                return OTHERS
            self._labels.add(product)
        return product


class _State(Collector):
    """What the database says at the scrape."""

    def __init__(self, expired: Mapping[str, int]) -> None:
        self.products: Products | None = None
        self.history_rows = 0
        self._expired = expired

    def collect(self) -> Iterator[Metric]:
        appids: Numbers[tuple[str, str]] = Numbers()
        waiting: Numbers[str] = Numbers()
        expired: Numbers[str] = Numbers()
        carried: Numbers[str] = Numbers()
        paused: Numbers[str] = Numbers()
        found = () if self.products is None else self.products.products
        shown = sorted(found, key=lambda one: -one.total)[:MOST_PRODUCTS]
        names = {one.product for one in shown}
        for one in found:
            product = one.product if one.product in names else OTHERS
            used = one.total - one.available - one.in_use - one.reserved
            appids[product, "available"] += one.available
            appids[product, "in_use"] += one.in_use
            appids[product, "reserved"] += one.reserved
            appids[product, "used_in_current_hour"] += used
            waiting[product] += one.waiting
            carried[product] += one.carried
            paused[product] += one.paused is not None
        for product, count in dict(self._expired).items():  # another thread counts
            expired[product if product in names else OTHERS] += count
        state = GaugeMetricFamily(
            "appid_appids", "AppIDs by what they do now.", labels=["product", "state"]
        )
        for (product, doing), count in appids.items():
            state.add_metric([product, doing], count)
        line = _gauge("appid_waiting", "Who waits in line now.", waiting)
        over = _gauge(
            "appid_carried_appid_hours",
            "AppIDs whose present hour is used up by a lease that began in an earlier one.",
            carried,
        )
        pauses = _gauge("appid_paused", "Products of which nothing is granted.", paused)
        rows = GaugeMetricFamily("appid_history_rows", "About how many rows the history has.")
        rows.add_metric([], self.history_rows)
        ended = CounterMetricFamily(
            "appid_expired_leases",
            "Leases without a heartbeat for their whole ttl, found by this process.",
            labels=["product"],
        )
        for product, count in expired.items():
            ended.add_metric([product], count)
        yield from (state, line, over, pauses, rows, ended)


def _gauge(name: str, words: str, numbers: Numbers[str]) -> Metric:
    """A number for each product."""
    family = GaugeMetricFamily(name, words, labels=["product"])
    for product, count in numbers.items():
        family.add_metric([product], count)
    return family
