"""The data plane's metrics as a collector, for programs that embed it.

from prometheus_client import REGISTRY
REGISTRY.register(NativeCollector(proxy))
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector


class HistogramLike(Protocol):
    """What a histogram counted."""

    @property
    def cumulated(self) -> Sequence[int]:
        """Values at or below each bound."""
        ...

    @property
    def sum(self) -> float:
        """All values together."""
        ...


class SampleLike(Protocol):
    """One set of label values, and what was counted for it."""

    @property
    def labels(self) -> Sequence[str]:
        """Values of the labels."""
        ...

    @property
    def value(self) -> float | HistogramLike:
        """What was counted."""
        ...


class FamilyLike(Protocol):
    """Samples of one name."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def help(self) -> str:
        """What it means."""
        ...

    @property
    def kind(self) -> str:
        """`counter`, `gauge` or `histogram`."""
        ...

    @property
    def label_names(self) -> Sequence[str]:
        """Names of the labels."""
        ...

    @property
    def samples(self) -> Sequence[SampleLike]:
        """The samples."""
        ...


class TotalsLike(Protocol):
    """All metrics at one moment."""

    @property
    def families(self) -> Sequence[FamilyLike]:
        """The families."""
        ...

    @property
    def bounds(self) -> Sequence[str]:
        """Upper bounds of every histogram."""
        ...


class Totalled(Protocol):
    """What has totals, such as `meshcore.native.Proxy`."""

    def totals(self) -> TotalsLike:
        """Returns all metrics as values."""
        ...


class NativeCollector(Collector):
    """Collects all metrics of a data plane in one call."""

    def __init__(self, data_plane: Totalled) -> None:
        self._data_plane = data_plane

    def describe(self) -> Iterator[Metric]:
        """Yields nothing, so that registering does not collect."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Yields all families that have samples."""
        totals = self._data_plane.totals()
        for family in totals.families:
            if family.samples:
                yield _metric(family, totals.bounds)


def _metric(family: FamilyLike, bounds: Sequence[str]) -> Metric:
    name, text, labels = family.name, family.help, family.label_names
    if family.kind == "histogram":
        return _histogram(family, bounds)
    metric = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    made = metric(name, text, labels=labels)
    for sample in family.samples:
        if isinstance(sample.value, (int, float)):
            made.add_metric(sample.labels, sample.value)
    return made


def _histogram(family: FamilyLike, bounds: Sequence[str]) -> HistogramMetricFamily:
    made = HistogramMetricFamily(family.name, family.help, labels=family.label_names)
    for sample in family.samples:
        if not isinstance(sample.value, (int, float)):
            buckets = list(zip(bounds, sample.value.cumulated, strict=True))
            made.add_metric(sample.labels, buckets, sample.value.sum)
    return made
