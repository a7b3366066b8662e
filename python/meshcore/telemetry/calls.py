"""Who calls whom, from the metrics of sidecars."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

_REQUESTS = "istio_requests_total"
_DURATIONS = "istio_request_duration_milliseconds_bucket"
_DENIED = "meshcore_requests_denied_total"
# Answers from here on are errors, and so is 0: nothing was answered. Source: RFC 9110 section 15.
_FIRST_ERROR = 400
_UNKNOWN = ("", "unknown")


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """A workload that calls, and one that is called."""

    source: str
    destination: str


@dataclass(slots=True)
class Calls:
    """What was counted between two workloads."""

    requests: float = 0
    errors: float = 0
    below: dict[float, float] = field(default_factory=dict[float, float])
    """Requests that took at most so many milliseconds."""
    identity: str | None = None
    """Identity that the caller proved with its certificate."""
    is_proved: bool = False
    """Whether who is called has counted it, who alone knows what was proved."""

    def since(self, before: "Calls | None") -> "Calls":
        """Returns what was counted after `before`."""
        if before is None or before.requests > self.requests:
            return self  # a new process, which began with 0
        below = {bound: count - before.below.get(bound, 0) for bound, count in self.below.items()}
        requests, errors = self.requests - before.requests, self.errors - before.errors
        return Calls(requests, errors, below, self.identity, is_proved=self.is_proved)

    def within_ms(self, share: float) -> float | None:
        """Returns in how many milliseconds a share of the requests was done, from 0 to 1.

        `None` when there were none. Between two bounds of the histogram it is a straight line, as
        Prometheus' `histogram_quantile` has it; beyond the last it is the last.
        """
        bounds = sorted(self.below.items())
        if not bounds or bounds[-1][1] <= 0:
            return None
        wanted = share * bounds[-1][1]
        for (low, before), (high, count) in pairwise([(0.0, 0.0), *bounds]):
            if count >= wanted and count > before:
                part = (wanted - before) / (count - before)
                return low if high == float("inf") else low + (high - low) * part
        return None


@dataclass(frozen=True, slots=True)
class Counted:
    """What all sidecars have counted so far."""

    calls: Mapping[Edge, Calls]
    denied: Mapping[tuple[str, str], float]
    """Requests that were denied, by the sidecar and what decided it."""

    def since(self, before: "Counted") -> "Counted":
        """Returns what was counted after `before`."""
        calls = {edge: now.since(before.calls.get(edge)) for edge, now in self.calls.items()}
        denied = {key: _grown(before.denied.get(key, 0), now) for key, now in self.denied.items()}
        return Counted(calls, {key: count for key, count in denied.items() if count})


def counted(scrapes: Mapping[str, str]) -> Counted:
    """Puts together what each sidecar, by its name, says on its metrics port.

    Both ends count a call. It is taken from who is called, if that has a sidecar here.

    Raises:
        ValueError: What one says is no text of Prometheus.
    """
    ends: dict[Edge, dict[str, Calls]] = {}
    denied: dict[tuple[str, str], float] = {}
    for sidecar, text in scrapes.items():
        for sample in _samples(sidecar, text):
            labels = sample.labels
            if sample.name == _DENIED:
                key = (sidecar, str(labels.get("policy", "")))
                denied[key] = denied.get(key, 0) + sample.value
            elif sample.name in {_REQUESTS, _DURATIONS}:
                edge = Edge(_name(labels, "source"), _name(labels, "destination"))
                reporter = labels.get("reporter", "")
                _add(ends.setdefault(edge, {}).setdefault(reporter, Calls()), sample)
    # "destination" is before "source".
    return Counted({edge: found[min(found)] for edge, found in sorted(ends.items())}, denied)


def _samples(sidecar: str, text: str) -> list[Any]:
    try:
        return [s for family in text_string_to_metric_families(text) for s in family.samples]
    except (ValueError, LookupError) as error:  # its own, and those of code that it trips over
        raise ValueError(f"{sidecar}: what is said there are no metrics ({error})") from error


def _add(calls: Calls, sample: Any) -> None:  # noqa: ANN401 - the parser's own tuple
    labels = sample.labels
    if sample.name == _DURATIONS:
        bound = float(labels.get("le", "inf"))
        calls.below[bound] = calls.below.get(bound, 0) + sample.value
        return
    calls.requests += sample.value
    code = labels.get("response_code", "")
    if not code.isdecimal() or not 0 < int(code) < _FIRST_ERROR:
        calls.errors += sample.value
    calls.is_proved |= labels.get("reporter") == "destination"
    if labels.get("connection_security_policy") == "mutual_tls":
        calls.identity = labels.get("source_principal")


def _name(labels: Mapping[str, str], end: str) -> str:
    """Returns the name of the workload at one end of a call, or of the service."""
    for label in (f"{end}_workload", f"{end}_service_name", f"{end}_service"):
        if (name := labels.get(label, "")) not in _UNKNOWN:
            return name
    return "unknown"


def _grown(before: float, now: float) -> float:
    return now - before if now >= before else now
