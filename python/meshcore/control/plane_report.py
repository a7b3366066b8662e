"""Says how the changes of a control plane fared: in the log, as metrics, and on disk."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from meshcore.control.compare import MAX_NAMED
from meshcore.control.in_force import Difference, InForce
from meshcore.control.journal import Journal
from meshcore.errors import ConfigError, Diagnostic, MeshcoreError
from meshcore.telemetry import process

_log = logging.getLogger("meshcore")
# Bounds of how long a change takes, in seconds: from one document to a mesh of thousands.
_BOUNDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A change that was refused."""

    revision: int
    at: float
    """Unix seconds."""
    why: str


class PlaneReport:
    """Hears how changes fared."""

    def __init__(self, journal: Journal) -> None:
        self.refusal: Refusal | None = None
        """Why the documents are not what is in force; `None` if they are."""
        self._journal = journal
        self._tells_disk = True
        self._began = time.monotonic()
        self._started = self._began
        self._registry = CollectorRegistry()
        self._make_metrics()

    def _make_metrics(self) -> None:
        registry = self._registry
        self._changes = Counter(
            "meshcore_control_changes", "Changes of documents, by what became of them.", ["result"],
            registry=registry,
        )  # fmt: skip
        for result in ("applied", "same", "refused"):
            self._changes.labels(result)
        self._seconds = Histogram(
            "meshcore_control_change_seconds",
            "From a change that was noticed to all of it handed to the server.",
            buckets=_BOUNDS, registry=registry,
        )  # fmt: skip
        self._routes = Gauge(
            "pilot_virt_services", "VirtualServices that are in force.", registry=registry
        )
        self._is_refused = Gauge(
            "meshcore_control_documents_refused", "1 while the documents are not in force.",
            registry=registry,
        )  # fmt: skip
        uptime = Gauge("istiod_uptime_seconds", "Since its start, in seconds.", registry=registry)
        uptime.set_function(lambda: time.monotonic() - self._started)

    def began(self) -> None:
        """A change was noticed."""
        self._began = time.monotonic()

    def applied(
        self, in_force: InForce, difference: Difference, found: Sequence[Diagnostic]
    ) -> None:
        """A change is in force."""
        took = time.monotonic() - self._began
        self._count("applied", None)
        self._seconds.observe(took)
        self._routes.set(sum(name.startswith("route/") for name in in_force.resources))
        self._keep(in_force, difference)
        what = _words(in_force, difference)
        _log.info("applied revision %d in %d ms: %s", in_force.revision, took * 1000, what)
        for finding in found:
            _log.warning("%s", finding.render())

    def same(self) -> None:
        """Files changed, and say what they said before."""
        self._count("same", None)
        _log.debug("documents that are in force already")

    def rejected(self, revision: int, error: MeshcoreError) -> None:
        """A change was refused."""
        now = datetime.now(tz=UTC).timestamp()
        self._count("refused", Refusal(revision, now, str(error)))
        between = "\n" if isinstance(error, ConfigError) else " "
        _log.error("revision %d refused, what was in force stays:%s%s", revision, between, error)

    def status(self) -> Mapping[str, object]:
        """Returns why the documents are not in force, if they are not, for JSON."""
        refusal = self.refusal
        if refusal is None:
            return {"refused": None}
        return {"refused": {"revision": refusal.revision, "at": refusal.at, "why": refusal.why}}

    def metrics(self) -> bytes:
        """Returns the metrics of documents and of the process in Prometheus' text format."""
        return generate_latest(self._registry) + process.exposition().encode()

    def _count(self, result: str, refusal: Refusal | None) -> None:
        self.refusal = refusal
        self._changes.labels(result).inc()
        self._is_refused.set(refusal is not None)

    def _keep(self, in_force: InForce, difference: Difference) -> None:
        try:
            revision = in_force.revision
            if not self._journal.append(revision, difference.changed, difference.removed):
                self._journal.write_whole(revision, in_force.values)
        except OSError as error:
            if self._tells_disk:
                _log.warning("what is in force cannot be kept: %s", error)
            self._tells_disk = False
        else:
            self._tells_disk = True


def _words(in_force: InForce, difference: Difference) -> str:
    if len(difference.changed) == len(in_force.values):
        return f"all {len(in_force.values)} resources"
    words = list(difference.words[:MAX_NAMED])
    if len(difference.words) > MAX_NAMED:
        words.append(f"and {len(difference.words) - MAX_NAMED} more")
    return ", ".join(words)
