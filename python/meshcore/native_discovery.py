"""The client of a control plane: typed calls to the extension, plain values."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from meshcore import _native
from meshcore.native import Materials, running


@dataclass(frozen=True, slots=True)
class DiscoveryOptions:
    """How a sidecar asks a control plane."""

    address: str
    """`HOST:PORT` of the control plane."""
    node: Mapping[str, object]
    """Who asks: `id`, `cluster`, `metadata`, `locality`, `version`."""
    is_plain: bool = False
    """Whether plain text is spoken, which only an address of this host may."""
    control: str | None = None
    """Identity that the control plane has to prove, unless plain text is spoken."""
    token: str | None = None
    """File of the token that proves it."""
    is_gateway: bool = False
    """Whether it also asks for what its Gateways need."""
    access_log: Mapping[str, object] | None = None
    """In place of the mesh's access log."""
    wait_ms: int = 2_000
    """How long a request for an unknown host waits for an answer."""
    unused_ms: int = 600_000
    """Hosts that were not called for so long are dropped."""
    file: str | None = None
    """For what was in force, to begin with when the control plane does not answer."""


class Notice(NamedTuple):
    """Something that happened, for people."""

    is_bad: bool
    text: str


class Discovery:
    """A client of a control plane. What is in force stays in force, whatever that one does."""

    def __init__(self, options: DiscoveryOptions, materials: Materials | None = None) -> None:
        """Reads what was kept from before, and begins to connect.

        Args:
            options: How it asks.
            materials: Its certificate and trust, for TLS.

        Raises:
            StartFailed: Its thread cannot be started.
        """
        self.native = _native.Discovery(json.dumps(asdict(options)).encode(), materials)
        """What `Proxy` takes."""
        running.add(self)

    def first(self, within_seconds: float) -> str | None:
        """Waits until it is known what the sidecar is; signal handlers run meanwhile.

        Returns `control` when the control plane has said so, `disk` when it did in an earlier
        life and does not in time, `None` when neither.
        """
        return self.native.first(within_seconds)

    def rotate(self, materials: Materials) -> None:
        """Uses another certificate and trust from the next connection on."""
        self.native.rotate(materials)

    def trust(self) -> Mapping[str, Any] | None:
        """Returns whom the mesh trusts: `roots` (PEM by trust domain), `aliases`, `signer`."""
        trust = self.native.trust()
        return None if trust is None else json.loads(trust)

    def about(self) -> Mapping[str, Any]:
        """Returns what is said of the sidecar itself.

        `revision`, `settings` of the mesh, and `services`, `workloads` and `groups` that it
        belongs to.
        """
        about: dict[str, Any] = json.loads(self.native.about())
        return about

    def try_out(self, node: bytes) -> bytes:
        """Returns the part of the mesh that is known, as JSON, without what cannot be in force.

        Raises:
            NativeError: It was stopped.
        """
        return self.native.try_out(node)

    def tell(self, why: str | None) -> None:
        """Tells the health of the application: `None` is healthy, else why it is not."""
        self.native.tell(why)

    def leave(self) -> None:
        """Says that the workload leaves: it is not to be called any more."""
        self.native.leave()

    def status(self) -> Mapping[str, Any]:
        """Returns whether the control plane answers, what is in force of it, what was refused."""
        status: dict[str, Any] = json.loads(self.native.status())
        return status

    def take_notices(self) -> list[Notice]:
        """Returns what people are to be told that has happened since the last call."""
        return [Notice(*one) for one in self.native.take_notices()]

    def stop(self) -> None:
        """Ends. What it put in force stays."""
        self.native.stop()
        running.discard(self)
