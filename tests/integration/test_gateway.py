"""A gateway as curl, OpenSSL and sslscan see it, and Istio's own samples on it."""

import base64
import subprocess
from xml.etree import ElementTree as ET

import pytest
from tests.integration.certificates import certificate, openssl, secret
from tests.integration.harness import connects, curl, eventually

pytestmark = pytest.mark.needs("curl", "openssl")

MESH = """
services:
  httpbin:
    port: 8000
    endpoints: ["@11:9080"]
  productpage:
    port: 9080
    endpoints: ["@12:9080"]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [moved.example.com]
    tls: {httpsRedirect: true}
  - port: {number: 80, name: plain, protocol: HTTP}
    hosts: [plain.example.com]
  - port: {number: 443, name: simple, protocol: HTTPS}
    hosts: [a.example.com]
    tls: {mode: SIMPLE, credentialName: web}
  - port: {number: 443, name: mutual, protocol: HTTPS}
    hosts: [m.example.com]
    tls: {mode: MUTUAL, credentialName: web}
  - port: {number: 443, name: gone, protocol: HTTPS}
    hosts: [gone.example.com]
    tls: {mode: SIMPLE, credentialName: gone}
  - port: {number: 444, name: files, protocol: HTTPS}
    hosts: ["*"]
    tls: {mode: SIMPLE, serverCertificate: CERT, privateKey: KEY}
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


@pytest.fixture(scope="module")
def made(shared):
    """Returns certificates by what they are for."""
    where = shared.directory
    ca = certificate(where, "ca", "authority")
    return {
        "ca": ca,
        "web": certificate(where, "web", "a.example.com"),
        "files": certificate(where, "files", "files.example.com"),
        "client": certificate(where, "client", "client.example.com", ca),
        "stranger": certificate(where, "stranger", "client.example.com"),
    }


@pytest.fixture(scope="module")
def edge(shared, made):
    cert, key = made["files"]
    shared.write(MESH.replace("CERT", str(cert)).replace("KEY", str(key)))
    shared.write(secret("web", made["web"], made["ca"][0]), "secret.yaml")
    shared.program("application", 11, 9080, "v1")
    shared.sidecar("httpbin")
    return shared.gateway("istio-ingressgateway", "--address", shared.address(20))


@pytest.fixture
def ask(shared, edge):
    """Returns a function that asks a host of the gateway."""
    del edge

    def _ask(url, *more):
        host = url.split("/")[2]
        name, _, port = host.partition(":")
        port = port or ("443" if url.startswith("https") else "80")
        return curl("-k", "--resolve", f"{name}:{port}:{shared.address(20)}", url, *more)

    return _ask


def test_plain_http_and_its_redirect(ask):
    got = ask("http://plain.example.com/x", "-H", "X-Forwarded-For: 6.6.6.6")
    assert (got.code, got.json()["name"]) == (200, "v1")
    headers = got.json()["headers"]
    assert headers["x-forwarded-for"].startswith("6.6.6.6,127.")
    assert headers["x-forwarded-proto"] == "http"
    moved = ask("http://moved.example.com/x?y")
    assert (moved.code, moved.header("location")) == (301, "https://moved.example.com/x?y")
    assert ask("http://other.example.com/").code == 404


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_simple_ends_tls(ask, version):
    got = ask("https://a.example.com/", version)
    assert (got.code, got.json()["headers"]["x-forwarded-proto"]) == (200, "https")
    assert got.head.startswith("HTTP/2" if version == "--http2" else "HTTP/1.1")


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_a_host_of_another_server_is_misdirected(ask, version):
    assert ask("https://a.example.com/", version, "-H", "Host: m.example.com").code == 421
    assert ask("https://a.example.com/", version, "-H", "Host: x.example.com").code == 404


def test_mutual_wants_a_certificate_of_its_authority(ask, made):
    def shown(name):
        return ask("https://m.example.com/", "--cert", made[name][0], "--key", made[name][1])

    assert shown("client").code == 200
    said = shown("client").json()["headers"]["x-forwarded-client-cert"]
    at_the_gateway, _, at_the_sidecar = said.rpartition(",")
    assert at_the_gateway.startswith("Hash=")
    assert 'Subject="CN=client.example.com"' in at_the_gateway
    assert at_the_gateway.endswith(";DNS=client.example.com")
    assert at_the_sidecar.endswith("sa/istio-ingressgateway")
    assert shown("stranger").exit_status != 0
    assert ask("https://m.example.com/").exit_status != 0


def test_unknown_names_and_missing_credentials_are_refused(edge, ask, made):
    assert ask("https://unknown.example.com/").exit_status != 0
    assert ask("https://gone.example.com/").exit_status != 0
    rows = {row["server"].rpartition(":")[2]: row for row in edge.status()["gateway"]["tls"]}
    assert any("credential gone" in str(row["error"]) for row in rows.values())
    key = made["web"][1].read_text().splitlines()[1]
    for page in ("/status", "/config_dump", "/clusters", "/listeners"):
        assert key not in edge.admin(page)
    encoded = base64.b64encode(made["web"][1].read_bytes()).decode()
    for said in (edge.said(), "\n".join(edge.log_lines())):
        assert key not in said
        assert encoded[40:80] not in said


def test_files_are_read_again(shared, ask, made):
    def subject():
        status, said = openssl("s_client", "-connect", f"{shared.address(20)}:444",
                               "-servername", "files.example.com")  # fmt: skip
        return said if status == 0 else ""

    assert "CN = files.example.com" in subject() or "CN=files.example.com" in subject()
    other = certificate(shared.directory, "other", "renewed.example.com")
    for new, old in zip(other, made["files"], strict=True):
        new.replace(old)
    eventually(lambda: "renewed.example.com" in subject())
    assert ask("https://files.example.com:444/").code == 200


@pytest.mark.needs("sslscan")
@pytest.mark.parametrize("name", ["a.example.com", "m.example.com"])
def test_sslscan_finds_nothing(shared, edge, name):
    del edge
    done = subprocess.run(
        ["sslscan", "--xml=-", f"--sni-name={name}", f"{shared.address(20)}:443"],
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    test = ET.fromstring(done.stdout).find("ssltest")  # noqa: S314 - sslscan's own
    assert test is not None
    spoken = {p.get("type", "") + p.get("version", "") for p in test.iter("protocol")
              if p.get("enabled") == "1"}  # fmt: skip
    assert spoken == {"tls1.2", "tls1.3"}
    ciphers = [cipher.get("cipher", "") for cipher in test.iter("cipher")]
    assert ciphers
    assert all(c.startswith(("TLS_", "ECDHE-")) and "CBC" not in c for c in ciphers)
    assert not [h for h in test.iter("heartbleed") if h.get("vulnerable") == "1"]
    assert not [c for c in test.iter("compression") if c.get("supported") == "1"]
    assert not [r for r in test.iter("renegotiation") if r.get("supported") == "1"]


def test_listeners_come_and_go_with_their_documents(alone):
    alone.write(MESH.partition("  - port: {number: 443")[0])
    alone.program("application", 11, 9080, "v1")
    gateway = alone.gateway("ingressgateway", "--address", alone.address(20))
    text = (alone.documents / "mesh.yaml").read_text()
    alone.write(text.replace("number: 80", "number: 8080"))
    eventually(lambda: connects(alone.address(20), 8080))
    eventually(lambda: not connects(alone.address(20), 80))
    assert gateway.status()["gateway"]["listeners"][0]["port"] == 8080


@pytest.mark.parametrize(
    ("sample", "at", "url"),
    [
        ("bookinfo/networking/bookinfo-gateway.yaml", ("productpage", 12), ":8080/productpage"),
        ("httpbin/httpbin-gateway.yaml", ("httpbin", 11), ":80/headers"),
    ],
)
def test_istios_samples_serve(alone, cases, sample, at, url):
    service, last = at
    alone.write(MESH.partition("---")[0])
    alone.write((cases / "istio-samples" / sample).read_text(), "sample.yaml")
    alone.program("application", last, 9080, service)
    alone.sidecar(service)
    alone.gateway("istio-ingressgateway", "--address", alone.address(20))
    got = curl(f"http://{alone.address(20)}{url}")
    assert (got.code, got.json()["name"]) == (200, service)
    assert "sa/istio-ingressgateway" in got.json()["headers"]["x-forwarded-client-cert"]


EGRESS = """
services:
  web:
    port: 8080
    endpoints: ["@21:8080"]
---
apiVersion: v1
kind: Service
metadata: {name: istio-egressgateway, namespace: default}
spec:
  selector: {istio: egressgateway}
  ports: [{name: https, port: 443, targetPort: 8443}, {name: http2, port: 80, targetPort: 8080}]
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: egress, namespace: default}
spec:
  address: "@30"
  serviceAccount: istio-egressgateway
  labels: {istio: egressgateway, app: istio-egressgateway}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside, namespace: default}
spec:
  hosts: [outside.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  location: MESH_EXTERNAL
  endpoints: [{address: "@11", ports: {http: 9080}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: egress, namespace: default}
spec:
  selector: {istio: egressgateway}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [outside.example.com]
    tls: {mode: ISTIO_MUTUAL}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: to-egress, namespace: default}
spec:
  host: istio-egressgateway.default.svc.cluster.local
  subsets:
  - name: outside
    trafficPolicy:
      portLevelSettings:
      - port: {number: 443}
        tls: {mode: ISTIO_MUTUAL, sni: outside.example.com}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: outside, namespace: default}
spec:
  hosts: [outside.example.com]
  gateways: [egress, mesh]
  http:
  - match: [{gateways: [mesh], port: 80}]
    route:
    - destination:
        host: istio-egressgateway.default.svc.cluster.local
        subset: outside
        port: {number: 443}
  - match: [{gateways: [egress], port: 443}]
    route: [{destination: {host: outside.example.com, port: {number: 80}}}]
"""


def test_what_leaves_the_mesh_goes_through_the_egress_gateway(alone):
    """Source: Istio's task "Egress Gateways", for HTTP with mutual TLS to the gateway."""
    alone.write(EGRESS)
    alone.program("application", 11, 9080, "outside")
    gateway = alone.gateway("istio-egressgateway")
    web = alone.sidecar("web")
    got = curl("--proxy", web.outbound, "http://outside.example.com/x")
    assert (got.code, got.json()["name"]) == (200, "outside"), web.log_lines()
    assert "spiffe://cluster.local/ns/default/sa/web" in got.json()["headers"].get(
        "x-forwarded-client-cert", ""
    )
    gateway.log_line("outbound|80||outside.example.com")
