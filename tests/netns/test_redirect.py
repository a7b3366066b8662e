"""Connections that the kernel redirects to the sidecar: the original destination decides."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.needs("ip", "iptables", "setpriv", "curl"),
]

NAMESPACE = f"meshcore-{os.getpid()}"
SERVER, CLIENT = "10.66.0.1", "10.66.0.2"
HTTP_VIP, TCP_VIP = "240.66.0.1", "240.66.0.2"
OF_NOBODY = "-m owner --uid-owner 65534"
WITHIN_SECONDS = 20.0

DOCUMENTS = f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: reviews}}
spec:
  hosts: [reviews.default.svc.cluster.local]
  addresses: [{HTTP_VIP}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP, targetPort: 9080}}]
  endpoints: [{{address: {SERVER}}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: echo}}
spec:
  hosts: [echo.default.svc.cluster.local]
  addresses: [{TCP_VIP}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 7000, name: tcp, protocol: TCP}}]
  endpoints: [{{address: {SERVER}}}]
"""

PROGRAM = """
import http.server, socketserver, sys, threading
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{self.headers['host']} {self.path} {self.headers['x-request-id']}".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"hello first\\n")  # a server that speaks first
        self.wfile.write(self.rfile.read())
address = sys.argv[1]
socketserver.ThreadingTCPServer.allow_reuse_address = True
echo = socketserver.ThreadingTCPServer((address, 7000), Echo)
threading.Thread(target=echo.serve_forever, daemon=True).start()
http.server.ThreadingHTTPServer((address, 9080), Answer).serve_forever()
"""

CALL = f"""
import socket
with socket.create_connection(("{TCP_VIP}", 7000), timeout=10) as stream:
    stream.sendall(b"ping\\n")
    stream.shutdown(socket.SHUT_WR)
    print(stream.makefile().read(), end="")
"""


def inside(*command: str, as_nobody: bool = False) -> list[str]:
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if as_nobody else []
    return ["ip", "netns", "exec", NAMESPACE, *nobody, *command]


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def redirected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A namespace whose user `nobody` is redirected to the sidecar of `web`."""
    folder = tmp_path_factory.mktemp("mesh")
    (folder / "mesh.yaml").write_text(DOCUMENTS)
    run("ip", "netns", "add", NAMESPACE)
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for words in (
            "ip link set lo up",
            f"ip addr add {SERVER}/32 dev lo",
            f"ip addr add {CLIENT}/32 dev lo",
            "ip route add 240.66.0.0/16 dev lo",
            f"iptables -t nat -A OUTPUT -p tcp {OF_NOBODY} -j REDIRECT --to-ports 15001",
        ):
            run(*inside(*words.split()))
        processes.append(subprocess.Popen(inside(sys.executable, "-c", PROGRAM, SERVER)))
        processes.append(subprocess.Popen(inside(*sidecar(folder))))
        wait_for(folder / "ready.json")
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(WITHIN_SECONDS)
        run("ip", "netns", "delete", NAMESPACE)


def sidecar(folder: Path) -> list[str]:
    meshcore = Path(sys.executable).with_name("meshcore")
    options = f"--service web --no-inbound --address {CLIENT} --mesh {folder}"
    return [str(meshcore), "run", *options.split(), "--ready-file", str(folder / "ready.json")]


def wait_for(ready: Path) -> None:
    end = time.monotonic() + WITHIN_SECONDS
    while not ready.exists():
        assert time.monotonic() < end, "the sidecar did not become ready"
        time.sleep(0.02)
    assert json.loads(ready.read_text())["addresses"]["outbound"] == "127.0.0.1:15001"


def call(*command: str) -> str:
    """What the command prints, run as the user that is redirected."""
    words = inside(*command, as_nobody=True)
    done = subprocess.run(
        words, check=False, capture_output=True, text=True, timeout=WITHIN_SECONDS
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.usefixtures("redirected")
def test_http_goes_to_the_service_behind_the_virtual_address():
    host, path, request_id = call("curl", "-sS", f"http://{HTTP_VIP}/a").split()
    assert (host, path) == (HTTP_VIP, "/a")
    assert len(request_id) == 36, "it went through the sidecar"


@pytest.mark.usefixtures("redirected")
def test_http_goes_by_its_host_on_the_original_port():
    said = call("curl", "-sS", "-H", "Host: reviews", f"http://{HTTP_VIP}/b")
    assert said.startswith("reviews /b ")


@pytest.mark.usefixtures("redirected")
def test_bytes_go_to_the_service_behind_the_virtual_address():
    assert call(sys.executable, "-c", CALL) == "hello first\nping\n"
