"""What `meshcore run` was asked for, handed from the command line to the sidecar's process."""
# pathlib would take 1.3 MB beside the data plane.
# ruff: noqa: PTH100, PTH119

import json
import os
from dataclasses import asdict, dataclass
from zlib import crc32

# Name of the file in the state directory that confirms large removals when it is touched.
CONFIRM = "confirm"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which workload of the mesh the sidecar stands beside."""

    service: str
    namespace: str
    version: str | None = None
    address: str | None = None
    name: str | None = None
    service_account: str | None = None
    ports: tuple[int, ...] = ()
    """Ports that are served; when there are none, those of the service in the mesh."""
    has_inbound: bool = True
    """Whether others may call it."""
    is_gateway: bool = False
    """Whether it is no sidecar: it opens the servers of the Gateways that select it."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Numbers of the listeners; 0 takes a free one, `None` what the mesh or Istio says."""

    outbound: int = 15001
    inbound: int | None = None
    hbone: int | None = None
    admin: int = 15000
    health: int = 15021
    metrics: int = 15090
    dns: int | None = None
    """`None` answers no names."""


@dataclass(frozen=True, slots=True)
class Files:
    """Certificate, key and trust that somebody else makes and renews."""

    certificate: str
    key: str
    roots: str
    revocations: str | None = None
    """Certificates that were taken back, as CRLs."""


@dataclass(frozen=True, slots=True)
class Joining:
    """The control plane that the sidecar belongs to, in place of documents."""

    address: str
    """`HOST:PORT`."""
    is_plain: bool = False
    """Whether it is called in plain text, on this host."""
    token: str | None = None
    """File of a token that says who the sidecar is."""
    group: str | None = None
    """WorkloadGroup to register with."""
    wait_ms: int = 2_000
    """How long a request for a host that is not known yet waits for an answer."""
    unused_ms: int = 600_000
    """After how long without calls a host is dropped."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a sidecar is told at its start. Paths are absolute."""

    wanted: Wanted
    mesh: str
    """File or directory of documents, or `HOST:PORT` of the control plane."""
    version: str
    """Version of meshcore."""
    state: str
    """Directory for what outlives the process: last good state, keys, development CA."""
    ports: Ports = Ports()
    application: str | None = None
    """Where the application listens, as `HOST:PORT`; `None` is the workload's address."""
    files: Files | None = None
    """`None` makes certificates with the development CA."""
    certificate_ttl_seconds: int = 24 * 3600
    plugins: tuple[str, ...] = ()
    isolate_plugins: bool = False
    """Whether each plugin runs in a process of its own, although it does not ask for it."""
    access_log: str | None = None
    """`text` or `json` for standard output, or a file; `None` is what the mesh says."""
    workers: int = 1
    drain_ms: int = 45_000
    allow_shrink: bool = False
    log_level: str = "info"
    ready_file: str | None = None
    command: tuple[str, ...] = ()
    """The application to start, with its arguments."""
    set_http_proxy: bool = False
    """Whether the application finds the mesh in `http_proxy`."""
    intercepted: bool = False
    """Whether the kernel redirects the connections of the workload to the sidecar."""
    both_families: bool = False
    """Whether it listens for IPv4 and IPv6, because both are redirected."""
    joining: Joining | None = None
    """`None` is a sidecar without a control plane."""

    def to_json(self) -> str:
        """Returns the settings in the form that `from_json` reads."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Settings":
        """Reads what `to_json` wrote."""
        raw = json.loads(text)
        wanted = raw.pop("wanted")
        wanted["ports"] = tuple(wanted["ports"])
        ports, files = Ports(**raw.pop("ports")), raw.pop("files")
        joining = raw.pop("joining")
        for name in ("plugins", "command"):
            raw[name] = tuple(raw[name])
        return cls(
            Wanted(**wanted), ports=ports, files=Files(**files) if files else None,
            joining=Joining(**joining) if joining else None, **raw,
        )  # fmt: skip

    @property
    def confirm_file(self) -> str:
        """A file whose time confirms changes that remove most services or policies."""
        return f"{self.state}/{CONFIRM}"

    @property
    def key(self) -> str:
        """A file name for this sidecar among those that share the state directory."""
        wanted = self.wanted
        mesh = self.mesh if self.joining else mesh_name(self.mesh)
        parts = (mesh, "gateway" if wanted.is_gateway else None, wanted.namespace,
                 wanted.service, wanted.version, wanted.address)  # fmt: skip
        return ",".join(part for part in parts if part).replace("/", "_").replace(":", "_")


@dataclass(frozen=True, slots=True)
class Launch:
    """How one process of a sidecar is started; the next one may be started otherwise."""

    takeover: bool = False
    """Whether it takes the sockets over from the running one."""
    supervisor: int | None = None
    """Descriptor of the Unix socket to the process that started it and starts it again."""
    redirects: bool = False
    """Whether that process has connections redirected once this one accepts, and says so."""
    application: bool = False
    """Whether that process, or one that was taken over from, keeps the application."""
    listeners: tuple[tuple[str, int], ...] = ()
    """Sockets of the process before, which died, by purpose."""

    @classmethod
    def from_json(cls, text: str) -> "Launch":
        """Reads what the command line, or the supervisor, wrote."""
        raw = json.loads(text)
        pairs = tuple((purpose, number) for purpose, number in raw.pop("listeners", ()))
        return cls(listeners=pairs, **raw)


def mesh_name(mesh: str) -> str:
    """Returns a short name of a mesh among those that share a state directory.

    Two of the same name in other places are told apart by a number of their whole path.
    """
    path = os.path.abspath(mesh)  # not resolved: a ConfigMap's link leads elsewhere each time
    return f"{os.path.basename(path)}-{crc32(os.fsencode(path)):08x}"
