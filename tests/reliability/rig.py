"""What stands between a hostile client and an origin: meshcore, or a peer to compare with.

Everything listens on loopback. Whatever is started here ends with its block, and nothing else.
"""

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
# The name under which the origin is known to the mesh, and in every request of a corpus.
HOST = "origin.test"
APPLICATION_PORT = 8080
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
  ports: [{{number: 8080, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, serviceAccount: app}}]
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

    def is_alive(self) -> bool:
        """Whether the process is there and no zombie."""
        try:
            status = Path(f"/proc/{self.pid}/stat").read_text()
        except FileNotFoundError:
            return False
        return status.rpartition(")")[2].split()[0] != "Z"

    def memory_bytes(self) -> int:
        """Resident memory."""
        return _status_kib(self.pid, "VmRSS:") * 1024

    def cpu_seconds(self) -> float:
        """Processor time so far. Source: proc_pid_stat(5)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def meshcore(
    directory: Path, origin: int, h2_origin: int = 9, more: str = "", outbound: int = 0
) -> Iterator[Running]:
    """A data plane in a Python process, as a sidecar runs it. The origin is no part of the mesh.

    Args:
        directory: For its documents.
        origin: Port of the origin, which is also the program beside the sidecar.
        h2_origin: Port of an origin that speaks HTTP/2: port 81 of the service.
        more: Further documents.
        outbound: Port to take the calls of programs on; 0 takes a free one.
    """
    mesh = directory / "mesh.yaml"
    mesh.write_text(_MESH.format(origin=origin, h2_origin=h2_origin) + more)
    node = directory / "node.json"
    program = {"number": APPLICATION_PORT, "application": f"127.0.0.1:{origin}"}
    described = {
        "name": "app",
        "namespace": "default",
        "identity": "spiffe://cluster.local/ns/default/sa/app",
        "address": "127.0.0.1",
        "ports": [program],
        "listen": {"outbound": f"127.0.0.1:{outbound}", "inbound": "127.0.0.1:0"},
    }
    node.write_text(json.dumps(described))
    serve = Path(__file__).with_name("dataplane.py")
    command = [sys.executable, str(serve), str(mesh), str(node)]
    with (directory / "meshcore.log").open("wb") as log, _started(command, log) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit((directory / "meshcore.log").read_text())
        port = {name: int((at or ":0").rpartition(":")[2]) for name, at in json.loads(line).items()}
        yield Running("meshcore", process.pid, port["outbound"], port["inbound"])


@contextmanager
def peer(name: str, directory: Path, origin: int) -> Iterator[Running]:
    """A proxy to compare with, configured as in the benches."""
    proxies = _benches()
    port = free_port()
    directory.chmod(0o755)  # some give up root
    command = proxies.PROXIES[name](proxies.Setting(directory, port, origin))
    with (directory / f"{name}.log").open("wb") as log, _started(command, log) as process:
        wait_for(port)
        yield Running(name, process.pid, port)


@contextmanager
def fast_origin(directory: Path) -> Iterator[int]:
    """The origin of the benches, which answers 1 KiB of `x`; yields its port."""
    port = free_port()
    with server(_benches().origin(directory, port), port, directory):
        yield port


@contextmanager
def nginx_files(directory: Path, files: Path) -> Iterator[int]:
    """nginx, which serves files; yields its port."""
    port = free_port()
    benches = _benches()
    setting = benches.Setting(directory, port, 0)
    with server(benches.nginx_command(setting, "files", f"root {files};"), port, directory):
        yield port


@contextmanager
def server(command: list[str], port: int, directory: Path) -> Iterator[None]:
    """Runs a server that takes this port."""
    with (directory / "origin.log").open("wb") as log, _started(command, log):
        wait_for(port)
        yield


@contextmanager
def patient_origin(directory: Path) -> Iterator[int]:
    """An origin that reads and does not answer; yields its port."""
    command = [sys.executable, str(Path(__file__).with_name("patient_origin.py"))]
    with (directory / "origin.log").open("wb") as log, _started(command, log) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())


def _benches() -> ModuleType:
    path = ROOT / "benches/peers/proxies.py"
    spec = importlib.util.spec_from_file_location("benches_peers_proxies", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


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


def free_port() -> int:
    """Returns a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(port: int) -> None:
    """Waits until somebody accepts on the port."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nobody listens on port {port}")


@contextmanager
def _started(command: list[str], log) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _status_kib(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1])
    return 0
