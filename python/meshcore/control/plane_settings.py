"""What `meshcore control` was asked for."""

from dataclasses import dataclass
from pathlib import Path

from meshcore.config.resources import Settings
from meshcore.control.settings import CONFIRM, mesh_name
from meshcore.native import ControlOptions

# How long a sidecar whose connection ended may stay away before it leaves the mesh.
GRACE_MS = 30_000


@dataclass(frozen=True, slots=True)
class PlanePorts:
    """Numbers of the listeners; 0 takes a free one. Source: Istio's ports."""

    plain: int = 15010
    """Sidecars of this machine, without TLS."""
    secure: int = 15012
    monitoring: int = 15014


@dataclass(frozen=True, slots=True)
class PlaneSettings:
    """Everything that a control plane is told at its start. Paths are absolute."""

    mesh: Path
    state: Path
    """Directory of its own: authority, tokens, registrations, what was in force."""
    version: str
    address: str = "0.0.0.0"  # noqa: S104 - sidecars of other hosts come in, by mutual TLS
    ports: PlanePorts = PlanePorts()
    allow_shrink: bool = False
    exposes_debug: bool = False
    """Whether others than this host may read the debug pages."""
    ready_file: Path | None = None

    @property
    def confirm_file(self) -> Path:
        """A file whose time confirms changes that remove most services or policies."""
        return self.state / CONFIRM

    @property
    def journal_file(self) -> Path:
        """What was in force."""
        return self.state / "last-good" / f"{mesh_name(str(self.mesh))}.jsonl"

    @property
    def numbers_file(self) -> Path:
        """The last number of a revision."""
        return self.state / f"revision-{mesh_name(str(self.mesh))}.json"

    def options(self, mesh: Settings) -> ControlOptions:
        """Returns what the server is told at its start."""
        return ControlOptions(
            state=str(self.state),
            plain=f"127.0.0.1:{self.ports.plain}",
            secure=_at(self.address, self.ports.secure),
            aliases=dict.fromkeys(mesh["trust_domain_aliases"], mesh["trust_domain"]),
            trust_domain=mesh["trust_domain"],
            root_namespace=mesh["root_namespace"],
            domain=mesh["domain"],
            version=self.version,
            grace_ms=GRACE_MS,
        )


def _at(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
