"""Gateways with a control plane: they get their documents and keys, and go on without it."""

import signal

import pytest
from tests.integration.certificates import certificate, openssl, secret
from tests.integration.harness import Control, Mesh, Sidecar, curl, eventually

pytestmark = pytest.mark.needs("curl", "openssl")

NAME = "istio-ingressgateway"
MESH = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: httpbin, namespace: default}
spec:
  hosts: [httpbin.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 8000, name: http, protocol: HTTP, targetPort: 9080}]
  endpoints: [{address: "@11"}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: simple, protocol: HTTPS}
    hosts: [a.example.com]
    tls: {mode: SIMPLE, credentialName: web}
  - port: {number: 443, name: mutual, protocol: HTTPS}
    hosts: [m.example.com]
    tls: {mode: MUTUAL, credentialName: web}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin, namespace: default}
spec:
  hosts: ["*"]
  gateways: [edge]
  http:
  - route: [{destination: {host: httpbin}}]
"""


def begin(mesh: Mesh) -> tuple[Control, dict]:
    """Starts a control plane and the application; returns certificates by what they are for."""
    where = mesh.directory
    ca = certificate(where, "ca", "authority")
    made = {
        "ca": ca,
        "web": certificate(where, "web", "a.example.com"),
        "next": certificate(where, "next", "a.example.com"),
        "client": certificate(where, "client", "client.example.com", ca),
    }
    mesh.write(MESH)
    mesh.write(secret("web", made["web"], ca[0]), "secret.yaml")
    mesh.program("application", 11, 9080, "v1")
    control = mesh.control("--plain-port", 0, "--secure-port", 0)
    return control, made


def gateway(mesh: Mesh, control: Control) -> Sidecar:
    return mesh.joined(
        control.plain, NAME, "--address", mesh.address(20), "--token", mesh.token(NAME),
        role="--gateway",
    )  # fmt: skip


def ask(mesh: Mesh, host: str, *more: object):
    return curl("-k", "--resolve", f"{host}:443:{mesh.address(20)}", f"https://{host}/", *more)


def shown(mesh: Mesh) -> str:
    """Returns the certificate that the gateway shows."""
    _, said = openssl(
        "s_client", "-connect", f"{mesh.address(20)}:443", "-servername", "a.example.com"
    )
    return said.partition("-----BEGIN CERTIFICATE-----")[2].partition("-----END")[0].strip()


def test_a_gateway_joins_and_its_secret_rotates(alone):
    control, made = begin(alone)
    edge = gateway(alone, control)
    eventually(lambda: ask(alone, "a.example.com").code == 200)
    cert, key = made["client"]
    assert ask(alone, "m.example.com", "--cert", cert, "--key", key).code == 200
    assert ask(alone, "m.example.com").code == 0, "it wants a certificate"
    before = shown(alone)
    assert before in made["web"][0].read_text()
    alone.write(secret("web", made["next"], made["ca"][0]), "secret.yaml")
    codes = []

    def is_next() -> bool:
        codes.append(ask(alone, "a.example.com").code)
        return shown(alone) in made["next"][0].read_text()

    eventually(is_next)
    assert set(codes) == {200}, "nothing is lost while it changes"
    for pair in (made["web"], made["next"]):
        key = pair[1].read_text().splitlines()[1]
        for text in (edge.admin("/config_dump"), edge.admin("/status"), edge.output.read_text()):
            assert key not in text


def test_a_gateway_goes_on_and_starts_without_the_control_plane(alone):
    control, _ = begin(alone)
    edge = gateway(alone, control)
    eventually(lambda: ask(alone, "a.example.com").code == 200)
    kept = eventually(lambda: list(alone.directory.rglob("last-good/*.json")))
    assert {path.stat().st_mode & 0o077 for path in kept} == {0}, "its user alone reads it"
    control.signal(signal.SIGKILL)
    control.wait()
    assert ask(alone, "a.example.com").code == 200
    edge.end()
    gateway(alone, control)
    assert ask(alone, "a.example.com").code == 200


def test_a_sidecar_gets_no_key(alone):
    control, made = begin(alone)
    alone.joined(
        control.plain, "web", "--no-inbound", "--address", alone.address(12),
        "--token", alone.token("web"),
    )  # fmt: skip
    eventually(lambda: list(alone.directory.rglob("last-good/*.json")))
    for path in alone.directory.rglob("last-good/*.json"):
        assert "credential" not in path.read_text()
        assert made["web"][1].read_text().splitlines()[1] not in path.read_text()
