"""Identity between real processes: the root rotates under load, and other meshes are refused."""

import json
import signal
import socket
import ssl

from tests.integration.harness import Control, Mesh, Sidecar, curl, eventually
from tests.integration.joined import SELECTED, calls, free_port, registered

# Each request is on a connection, and so a handshake, of its own.
ONE_EACH = """
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec:
  host: reviews
  trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 1}}}
"""
ASK = b"GET / HTTP/1.1\r\nhost: reviews:8080\r\nconnection: close\r\n\r\n"


def rotate(mesh: Mesh, *command: object) -> str:
    done = mesh.meshcore("cert", "rotate-root", *command, "--state", mesh.directory / "control")
    assert done.returncode == 0, done.stderr
    return done.stdout


def phase(mesh: Mesh) -> str:
    return json.loads(rotate(mesh, "status", "--output", "json"))["phase"]


def certificate(sidecar: Sidecar) -> dict:
    return sidecar.status()["certificate"]


def kept(mesh: Mesh, service: str) -> dict:
    """Returns what a sidecar keeps of its certificate for its next start."""
    (path,) = (mesh.directory / ".meshcore/identity").glob(f"*,{service}*.json")
    return json.loads(path.read_text())


def code(mesh: Mesh, sidecar: Sidecar, owned: dict) -> int:
    """Returns the status that a sidecar answers who has this certificate; 0 if it hangs up."""
    pem = mesh.directory / "leaf.pem"
    pem.write_text(owned["chain"] + owned["key"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # we are the stranger
    context.load_cert_chain(pem)
    context.set_alpn_protocols(["istio-http/1.1"])
    try:
        with (
            socket.create_connection(sidecar.host_port("inbound"), 10) as plain,
            context.wrap_socket(plain) as tls,
        ):
            tls.sendall(ASK)
            return int(tls.recv(4096).split(b" ")[1])
    except (ssl.SSLError, ConnectionResetError):
        return 0


def begin(mesh: Mesh, last: int) -> tuple[Control, Sidecar, Sidecar]:
    control = mesh.control("--plain-port", 0, "--secure-port", free_port())
    mesh.program("application", last, 8080, "reviews")
    server = registered(mesh, control, "reviews", last)
    web = calls(mesh, control, "web", last - 10)
    eventually(lambda: curl("-H", "Host: reviews:8080", web.outbound).code == 200)
    return control, server, web


def test_a_root_rotates_under_load_and_the_control_plane_is_killed_meanwhile(alone):
    alone.write(SELECTED + ONE_EACH)
    control, server, web = begin(alone, 21)
    before = [certificate(one) for one in (server, web)]
    old = kept(alone, "web")
    assert code(alone, server, old) == 200
    load = alone.load(web, "reviews:8080", 100)
    rotate(alone, "begin", "--overlap", "6s")
    for one in (server, web):
        eventually(lambda one=one: len(certificate(one)["trust"]) == 2)
    port = control.addresses["secure"].rpartition(":")[2]
    control.signal(signal.SIGKILL)
    control.wait()
    alone.control("--plain-port", 0, "--secure-port", port)
    eventually(lambda: phase(alone) == "retiring", 30)
    for one, first in zip((server, web), before, strict=True):
        eventually(lambda one=one, first=first: certificate(one)["serial"] != first["serial"], 40)
    rotate(alone, "finish", "--now")
    for one in (server, web):
        eventually(lambda one=one: len(certificate(one)["trust"]) == 1)
    result = load.end_of_it()
    assert not result["failed"], result
    for one, first in zip((server, web), before, strict=True):
        assert certificate(one)["trust"] != first["trust"]
    assert code(alone, server, kept(alone, "web")) == 200
    assert code(alone, server, old) == 0, "a leaf of the old root"


def test_one_that_was_away_while_the_root_changed_leaves_the_old_one(alone):
    alone.write(SELECTED + ONE_EACH)
    control, _, web = begin(alone, 21)
    old = certificate(web)["serial"]
    rotate(alone, "begin", "--overlap", "6s")
    eventually(lambda: len(certificate(web)["trust"]) == 2)
    web.signal()
    assert web.wait() == 0
    eventually(lambda: phase(alone) == "retiring", 30)
    again = calls(alone, control, "web", 11)
    eventually(lambda: certificate(again)["serial"] != old)
