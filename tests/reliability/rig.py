"""What stands between a hostile client and an origin: meshcore, or a peer to compare with.

Everything listens on loopback. Whatever is started here ends with its block, and nothing else.
"""

import json
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benches.peers import processes, proxies
from benches.peers.processes import free_port

ROOT = Path(__file__).resolve().parents[2]
# The name under which the origin is known to the mesh, and in every request of a corpus.
HOST = "origin.test"
APPLICATION_PORT = 8080
# Directory of the authority that certificates come from.
CA = "ca"
IDENTITY = "spiffe://cluster.local/ns/default/sa/app"
PEERS = ("nginx", "HAProxy", "Envoy")

_MESH = """apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: origin}}
spec:
  hosts: [origin.test]
  ports:
  - {{number: 80, name: http, protocol: HTTP, targetPort: {origin}}}
  - {{number: 81, name: http2, protocol: HTTP2, targetPort: {h2_origin}}}
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: application}}
spec:
  hosts: [app.test]
  ports: [{{number: 8080, name: served, protocol: {protocol}}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, serviceAccount: app}}]
"""

_MTLS = """---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default, namespace: istio-system}}
spec: {{mtls: {{mode: {mode}}}}}
"""


@dataclass(frozen=True)
class Running:
    """A proxy that runs."""

    name: str
    pid: int
    port: int
    """Where it takes the calls of programs (or, for a peer, all calls)."""
    inbound: int = 0
    """Where it takes calls to its own program; 0 for a peer."""
    hbone: int = 0
    """Where it takes tunnels to its own program; 0 without a certificate."""
    metrics: int = 0
    """Where it tells what it has counted; 0 for a peer."""
    log: Path = Path()
    """What it says."""

    def is_alive(self) -> bool:
        """Whether the process is there and no zombie."""
        return processes.is_alive(self.pid)

    def metric(self, name: str) -> int:
        """The sum of a family of counters."""
        url = f"http://127.0.0.1:{self.metrics}/stats/prometheus"
        with urllib.request.urlopen(url, timeout=10) as got:
            lines = got.read().decode().splitlines()
        return sum(int(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    def said(self) -> list[str]:
        """What it has told people until now."""
        return self.log.read_text().splitlines()

    def memory_bytes(self) -> int:
        """Resident memory."""
        return processes.resident_bytes(self.pid)

    def cpu_seconds(self) -> float:
        """Processor time so far."""
        return processes.cpu_seconds(self.pid)


@contextmanager
def meshcore(  # noqa: PLR0913 - each says one thing
    directory: Path,
    origin: int,
    h2_origin: int = 9,
    more: str = "",
    outbound: int = 0,
    *,
    protocol: str = "HTTP",
    mtls: str = "",
    around: Sequence[str] = (),
) -> Iterator[Running]:
    """A data plane in a Python process, as a sidecar runs it. The origin is no part of the mesh.

    Args:
        directory: For its documents.
        origin: Port of the origin, which is also the program beside the sidecar.
        h2_origin: Port of an origin that speaks HTTP/2: port 81 of the service.
        more: Further documents.
        outbound: Port to take the calls of programs on; 0 takes a free one.
        protocol: What the program beside the sidecar speaks.
        mtls: STRICT or PERMISSIVE: it gets a certificate of the authority in `directory`/`CA`.
        around: A command that runs the command behind it.
    """
    mesh = directory / "mesh.yaml"
    described_mesh = _MESH.format(origin=origin, h2_origin=h2_origin, protocol=protocol)
    mesh.write_text(described_mesh + (_MTLS.format(mode=mtls) if mtls else "") + more)
    node = directory / "node.json"
    program = {"number": APPLICATION_PORT, "application": f"127.0.0.1:{origin}"}
    described = {
        "name": "app",
        "namespace": "default",
        "identity": IDENTITY,
        "address": "127.0.0.1",
        "ports": [program],
        "listen": {
            "outbound": f"127.0.0.1:{outbound}",
            "inbound": "127.0.0.1:0",
            "hbone": "127.0.0.1:0" if mtls else None,
            "metrics": "127.0.0.1:0",
        },
    }
    node.write_text(json.dumps(described))
    serve = ROOT / "tests/reliability/serve.py"
    command = [*around, sys.executable, str(serve), str(mesh), str(node)]
    command += [str(directory / CA)] if mtls else []
    log_path = directory / "meshcore.log"
    with log_path.open("wb") as log, processes.started(command, log) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit(log_path.read_text())
        port = {name: int((at or ":0").rpartition(":")[2]) for name, at in json.loads(line).items()}
        ports = (port[name] for name in ("outbound", "inbound", "hbone", "metrics"))
        yield Running("meshcore", process.pid, *ports, log_path)


@contextmanager
def peer(name: str, directory: Path, origin: int) -> Iterator[Running]:
    """A proxy to compare with, configured as in the benches."""
    port = free_port()
    directory.chmod(0o755)  # some give up root
    command = proxies.PROXIES[name](proxies.Setting(directory, port, origin))
    with (
        (directory / f"{name}.log").open("wb") as log,
        processes.running(command, port, log) as pid,
    ):
        yield Running(name, pid, port)


@contextmanager
def fast_origin(directory: Path) -> Iterator[int]:
    """The origin of the benches, which answers 1 KiB of `x`; yields its port."""
    port = free_port()
    with server(proxies.origin(directory, port), port, directory):
        yield port


@contextmanager
def nginx_files(directory: Path, files: Path) -> Iterator[int]:
    """nginx, which serves files; yields its port."""
    port = free_port()
    setting = proxies.Setting(directory, port, 0)
    with server(proxies.nginx_command(setting, "files", f"root {files};"), port, directory):
        yield port


@contextmanager
def server(command: list[str], port: int, directory: Path) -> Iterator[None]:
    """Runs a server that takes this port."""
    with (directory / "origin.log").open("wb") as log, processes.running(command, port, log):
        yield


@contextmanager
def patient_origin(directory: Path) -> Iterator[int]:
    """An origin that reads and does not answer; yields its port."""
    command = [sys.executable, str(Path(__file__).with_name("patient_origin.py"))]
    log_path = directory / "origin.log"
    with log_path.open("wb") as log, processes.started(command, log) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())


@contextmanager
def proxy(name: str, directory: Path, origin: int, h2_origin: int = 9) -> Iterator[Running]:
    """The proxy of that name."""
    made = (
        meshcore(directory, origin, h2_origin)
        if name == "meshcore"
        else peer(name, directory, origin)
    )
    with made as running:
        yield running
