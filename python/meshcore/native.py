"""The data plane and the control plane: typed calls to the extension, plain values."""

import atexit
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol
from weakref import WeakSet

from meshcore import _native
from meshcore._native import (
    Authority,
    Issued,
    Materials,
    PluginConnection,
    PluginProcess,
    new_csr,
)
from meshcore.plugin.registry import Registered, to_native
from meshcore.plugin.request import Headers, Record, Request, Response

if TYPE_CHECKING:
    from meshcore._native import _FamilyTuple, _SampleTuple  # pyright: ignore[reportPrivateUsage]

__all__ = [
    "Authority",
    "ControlOptions",
    "ControlPlane",
    "Family",
    "HistogramValue",
    "Issued",
    "Listener",
    "Materials",
    "Options",
    "PluginConnection",
    "PluginProcess",
    "Proxy",
    "Sample",
    "Totals",
    "new_csr",
    "serve_plugin",
]

# Authors may ask isinstance() of what the data plane gives them.
Headers.register(_native.Headers)  # pyright: ignore[reportAttributeAccessIssue]
Record.register(_native.Record)
Request.register(_native.Request)
Response.register(_native.Response)


@dataclass(frozen=True, slots=True)
class Options:
    """How the data plane runs."""

    workers: int = 1
    """Threads that carry requests."""
    drain_ms: int = 45_000
    """How long requests may go on after a drain began."""
    version: str = "unknown"
    """Shown in `istio_build` and on the admin port."""


@dataclass(frozen=True, slots=True)
class ControlOptions:
    """How a control plane runs."""

    state: str
    """Directory of registrations and of the authority, made when it is missing; ours alone."""
    plain: str | None = None
    """Loopback address for sidecars in plain text, with its port; port 0 takes a free one."""
    secure: str | None = None
    """Address for sidecars over TLS, with its port; port 0 takes a free one."""
    cacerts: str | None = None
    """Directory of an authority that is plugged in, with Istio's four files."""
    foreign_roots: Mapping[str, str] = field(default_factory=dict)
    """PEM of the roots of other trust domains."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Trust domains whose identities the roots of another vouch for, by alias."""
    max_ttl_seconds: int | None = None
    """Longest life of certificates; 90 days if nothing is said, and at most."""
    trust_domain: str = "cluster.local"
    """With the next two: what holds until the resource `settings/mesh` says it."""
    root_namespace: str = "istio-system"
    domain: str = "cluster.local"
    version: str = "unknown"
    """Shown in the status."""
    grace_ms: int = 30_000
    """How long a workload stays whose stream is gone."""


class HistogramValue(NamedTuple):
    """What a histogram counted."""

    cumulated: Sequence[int]
    """Values at or below each of `Totals.bounds`."""
    sum: float


class Sample(NamedTuple):
    """One set of label values, and what was counted for it."""

    labels: Sequence[str]
    value: float | HistogramValue


class Family(NamedTuple):
    """Samples of one name."""

    name: str
    help: str
    kind: str
    """`counter`, `gauge` or `histogram`."""
    label_names: Sequence[str]
    samples: Sequence[Sample]


class Totals(NamedTuple):
    """All metrics at one moment."""

    families: Sequence[Family]
    bounds: Sequence[str]
    """Upper bounds of every histogram, the last of which is `+Inf`."""


class Listener(NamedTuple):
    """A listening socket on its way from one process to another."""

    purpose: str
    descriptor: int


class Proxy:
    """A running data plane. Every method returns at once but `wait` and `stop`.

    A process that was forked from the one that started it cannot use it.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - each is a part of its own, given once
        self,
        mesh: bytes,
        node: bytes,
        options: Options,
        hooks: Iterable[Registered] = (),
        materials: Materials | None = None,
        listeners: Iterable[Listener] = (),
        discovery: "Discovers | None" = None,
    ) -> None:
        """Binds, starts all threads, and returns when it accepts.

        Args:
            mesh: The mesh model, as JSON.
            node: Who this sidecar is and where it listens, as JSON.
            options: How it runs.
            hooks: Hooks of plugins, in the order they are called.
            materials: Certificate, key and trust; without them there is no mutual TLS.
            listeners: Sockets of another process that it accepts on as well, from now on. The
                caller closes the descriptors.
            discovery: Whom to ask for hosts that the mesh does not have, because it is the part
                that its `try_out` returned. Its changes are put in force from now on.

        Raises:
            SnapshotRejected: The model cannot be put in force.
            StartFailed: A listener, a log or a thread cannot be had, or one of `listeners` is not
                wanted here; nothing runs.
        """
        described = json.dumps(
            {
                "workers": options.workers,
                "drain_ms": options.drain_ms,
                "version": options.version,
            }
        )
        native_hooks = _hooks(hooks)
        self._native = _native.Proxy(
            mesh, node, described.encode(), native_hooks, materials, list(listeners),
            None if discovery is None else discovery.native,
        )  # fmt: skip
        running.add(self)

    def apply(self, mesh: bytes, hooks: Iterable[Registered] | None = None) -> int:
        """Puts a mesh in force, with other hooks if some are given; returns its revision.

        Raises:
            SnapshotRejected: The model cannot be put in force; nothing has changed.
            StaleRevision: Something newer is in force; nothing has changed.
        """
        return self._native.apply(mesh, None if hooks is None else _hooks(hooks))

    def change_hooks(self, hooks: Iterable[Registered], discovery: "Discovers") -> int:
        """Puts other hooks in force, with what `discovery` holds; returns its revision.

        Raises:
            SnapshotRejected: They cannot be put in force; nothing has changed.
        """
        return self._native.change_hooks(_hooks(hooks), discovery.native)

    def rotate(self, materials: Materials) -> None:
        """Uses another certificate and trust for all handshakes from now on."""
        self._native.rotate(materials)

    def rejected(self, revision: int, why: str) -> None:
        """Notes that a change was refused before it came here, for status and admin port."""
        self._native.rejected(revision, why)

    def status(self) -> Mapping[str, object]:
        """Returns what is in force and how it fares."""
        status: dict[str, object] = json.loads(self._native.status())
        return status

    def addresses(self) -> Mapping[str, str | None]:
        """Returns where it listens, by purpose; port 0 has become the port that was taken."""
        addresses: dict[str, str | None] = json.loads(self._native.addresses())
        return addresses

    def metrics(self, *, openmetrics: bool = False) -> bytes:
        """Returns all metrics in Prometheus' text format."""
        return self._native.metrics(openmetrics)

    def totals(self) -> Totals:
        """Returns all metrics as values, for a collector."""
        families, bounds = self._native.totals()
        return Totals([_family(family) for family in families], bounds)

    def on_scrape(self, function: Callable[[], bytes]) -> None:
        """Asks `function` at each scrape for what is added to the metrics.

        It returns Prometheus' text, and is called on another thread.
        """
        self._native.on_scrape(function)

    def forget_decisions(self) -> None:
        """Makes all decisions of hooks that are remembered be made anew."""
        self._native.forget_decisions()

    def take_notices(self) -> list[str]:
        """Returns what people are to be told that has happened since the last call, in lines."""
        return self._native.take_notices()

    def reopen_logs(self) -> None:
        """Opens log files again, after they were renamed."""
        self._native.reopen_logs()

    def listeners(self) -> list[Listener]:
        """Returns its listening sockets once more, none if it drains. The caller closes them.

        Raises:
            NativeError: Descriptors are used up.
        """
        return [Listener(*one) for one in self._native.sockets()]

    def hand_over(self) -> None:
        """Drains, and leaves admin, health and metrics to whoever has its listeners."""
        self._native.hand_over()

    def drain(self) -> None:
        """Stops accepting, lets requests end within `Options.drain_ms`, then ends."""
        self._native.drain()

    def wait(self, within_seconds: float | None = None) -> bool:
        """Waits until everything has ended; whether it has. Signal handlers run meanwhile."""
        return self._native.wait(within_seconds)

    def stop(self) -> None:
        """Ends at once. Requests that are being carried are cut off."""
        self._native.stop()
        running.discard(self)


class ControlPlane:
    """A control plane for sidecars: the mesh, who is connected, and who registered.

    Sidecars that connect wait for the first `update`: before it, nothing is known, which is not
    the same as an empty mesh.
    """

    def __init__(self, options: ControlOptions) -> None:
        """Reads the registry, binds, and returns when it accepts.

        Raises:
            StartFailed: The registry cannot be read, or an address cannot be had.
        """
        self._native = _native.ControlPlane(json.dumps(asdict(options)).encode())
        running.add(self)

    def update(
        self, revision: int, changed: Sequence[tuple[str, bytes]], removed: Sequence[str] = ()
    ) -> None:
        """Puts resources in place and removes others, and tells those whom it concerns.

        Args:
            revision: Greater than any before.
            changed: Names of resources with the JSON of `meshcore_model::Resource`.
            removed: Names of resources that are gone; unknown ones are passed over.

        Raises:
            SnapshotRejected: A resource cannot be taken, by its name; nothing has changed.
            StaleRevision: The revision is not greater; nothing has changed.
        """
        self._native.update(revision, changed, removed)

    def addresses(self) -> Mapping[str, str | None]:
        """Returns where it listens, by purpose; port 0 has become the port that was taken."""
        addresses: dict[str, str | None] = json.loads(self._native.addresses())
        return addresses

    def status(self) -> Mapping[str, object]:
        """Returns what holds, each client, and each workload that registered.

        `revision` is None before the first update. Of `clients`, each has what it is (`id`,
        `namespace`, `workload`, `service`, `identity`, `agent`, `addresses`), `keys`,
        `sent_revision`, `acknowledged_revision`, `is_current`, and `refused` (`name`, `version`,
        `reason`). Of `workloads`, each has `name`, `service`, `address`, `identity`,
        `is_healthy`, `is_connected` and `gone_ms`. `holding` says that workloads that are gone
        are kept, because most are.
        """
        status: dict[str, object] = json.loads(self._native.status())
        return status

    def metrics(self) -> bytes:
        """Returns all metrics in Prometheus' text format."""
        return self._native.metrics()

    def trust(self) -> Mapping[str, object]:
        """Returns whom the mesh trusts now: the resource `trust/mesh`."""
        trust: dict[str, object] = json.loads(self._native.trust())
        return trust

    def trouble(self) -> str | None:
        """Returns why certificates cannot be signed, if they cannot."""
        return self._native.trouble()

    def stop(self) -> None:
        """Ends all streams. Registrations are kept for the next start."""
        self._native.stop()
        running.discard(self)


class Discovers(Protocol):
    """The client of a control plane: `meshcore.native_discovery.Discovery`."""

    native: _native.Discovery


class Stops(Protocol):
    """Something with threads of its own."""

    def stop(self) -> None:
        """Ends them."""
        ...


# Stopped before the interpreter ends: their threads would have nothing to attach to.
running: WeakSet["Stops"] = WeakSet()


@atexit.register
def _stop_all() -> None:
    for one in list(running):
        one.stop()


def serve_plugin(connection: PluginConnection, hooks: Iterable[Registered]) -> None:
    """Calls hooks of this process as a sidecar asks, until that is gone.

    The process is ended a second later, if it has not ended by itself.

    Raises:
        OSError: The connection cannot be used.
    """
    connection.serve(_hooks(hooks))


def _hooks(hooks: Iterable[Registered]) -> _native.Hooks:
    described, callees = to_native(hooks)
    return _native.Hooks(described, callees)


def _family(family: "_FamilyTuple") -> Family:
    name, text, kind, label_names, samples = family
    return Family(name, text, kind, label_names, [_sample(sample) for sample in samples])


def _sample(sample: "_SampleTuple") -> Sample:
    labels, value = sample
    return Sample(labels, HistogramValue(*value) if isinstance(value, tuple) else value)
