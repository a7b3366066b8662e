"""Two hosts whose connections are redirected to sidecars: an application that knows nothing."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.netns.hosts import Host, link, unlink

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.needs("ip", "iptables", "ip6tables", "nft", "curl"),
]

VIP, VIP6 = "10.77.9.1", "fd77:9::1"

DOCUMENTS = f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: reviews}}
spec:
  hosts: [reviews.default.svc.cluster.local]
  addresses: [{VIP}, "{VIP6}"]
  location: MESH_INTERNAL
  resolution: STATIC
  ports:
  - {{number: 80, name: http, protocol: HTTP, targetPort: 9080}}
  - {{number: 7000, name: tcp, protocol: TCP}}
  endpoints:
  - address: 10.77.0.1
    serviceAccount: reviews
    labels: {{app: reviews, security.istio.io/tlsMode: istio}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: named}}
spec:
  hosts: [named.example]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 7001, name: tcp, protocol: TCP, targetPort: 7000}}]
  endpoints:
  - address: 10.77.0.1
    serviceAccount: reviews
    labels: {{app: reviews, security.istio.io/tlsMode: istio}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: reviews}}
spec:
  selector: {{matchLabels: {{app: reviews}}}}
  mtls: {{mode: STRICT}}
  portLevelMtls: {{9081: {{mode: PERMISSIVE}}}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: reviews}}
spec:
  selector: {{matchLabels: {{app: reviews}}}}
  action: DENY
  rules: [{{to: [{{operation: {{paths: [/denied], ports: ["9080"]}}}}]}}]
"""

# HTTP on three ports, of which the mesh knows one, and a TCP server that speaks first.
APPLICATION = """
import http.server, socket, socketserver, threading
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        peer, port = self.client_address[0], self.server.server_address[1]
        proof = (self.headers["x-forwarded-client-cert"] or "-").rpartition("URI=")[2]
        body = f"{peer} {port} {self.path} {proof}".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(f"hello {self.client_address[0]}\\n".encode())
        self.wfile.write(self.rfile.read())
class Http(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
class Tcp(socketserver.ThreadingTCPServer):
    address_family, allow_reuse_address = socket.AF_INET6, True
for port in (9080, 9081, 9082):
    threading.Thread(target=Http(("::", port), Answer).serve_forever, daemon=True).start()
print("ready", flush=True)
Tcp(("::", 7000), Echo).serve_forever()
"""

# A resolver that knows one address, for every name.
RESOLVER = """
import socket, sys
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind((sys.argv[1], 53))
while True:
    asked, client = udp.recvfrom(4096)
    end = asked.index(b"\\0", 12) + 5
    record = b"\\xc0\\x0c\\0\\x01\\0\\x01\\0\\0\\0\\x05\\0\\x04\\xc0\\0\\x02\\x01"
    head = b"\\x81\\x80\\0\\x01\\0\\x01\\0\\0\\0\\0"
    udp.sendto(asked[:2] + head + asked[12:end] + record, client)
"""

CALL = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10) as stream:
    print(stream.recv(100).decode(), end="", flush=True)
    stream.sendall(b"ping\\n")
    stream.shutdown(socket.SHUT_WR)
    print(stream.makefile().read(), end="")
"""


@pytest.fixture(scope="module", params=["iptables", "nft"])
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def hosts(backend: str) -> Iterator[tuple[Host, Host]]:
    server, client = (
        Host(f"mc{one}-{backend[:2]}-{os.getpid()}", n) for n, one in ((1, "s"), (2, "c"))
    )
    try:
        link(server, client)
        yield server, client
    finally:
        unlink(server, client)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two-hosts")
    (folder / "mesh").mkdir()
    (folder / "mesh" / "mesh.yaml").write_text(DOCUMENTS)
    return folder


@pytest.fixture(scope="module")
def client(hosts: tuple[Host, Host], folder: Path, backend: str) -> Host:
    """The host of a client, which calls `reviews` on the other host; both have sidecars."""
    server, client = hosts
    options = ("--intercept-backend", backend)
    client.resolve_by(f"nameserver {server.address}\nsearch default.svc.cluster.local\n")
    server.start(sys.executable, "-c", RESOLVER, server.address, log=folder / "resolver.log")
    server.start(sys.executable, "-c", APPLICATION, log=folder / "application.log")
    reviews = server.sidecar(
        folder, "--service", "reviews", *options, "--intercept-exclude-inbound-ports", "9082"
    )
    reviews.wait()
    past = ("--intercept-exclude-outbound-ranges", f"{server.address}/32")
    address = ("--address", client.address)
    web = client.sidecar(folder, "--service", "web", "--no-inbound", *address, *options, *past)
    web.wait()
    return client


def get(host: Host, url: str, *options: str) -> str:
    return host.run("curl", "-sS", "-m", "10", *options, url).stdout


@pytest.mark.parametrize("address", [VIP, f"[{VIP6}]"])
def test_http_goes_from_sidecar_to_sidecar(client: Host, address: str):
    peer, port, path, proof = get(client, f"http://{address}/a").split()
    assert peer.endswith("127.0.0.6"), "the application is called by its sidecar"
    assert (port, path) == ("9080", "/a")
    assert proof == "spiffe://cluster.local/ns/default/sa/web"


def test_policy_holds(client: Host):
    assert "RBAC" in get(client, f"http://{VIP}/denied")


@pytest.mark.parametrize("address", [VIP, VIP6])
def test_a_server_may_speak_first(client: Host, address: str):
    assert client.python(CALL, address, "7000") == "hello ::ffff:127.0.0.6\nping\n"


@pytest.mark.usefixtures("client")
def test_an_application_calls_its_own_service_through_policy(hosts: tuple[Host, Host]):
    server, _ = hosts
    assert "/own " in get(server, f"http://{VIP}/own")
    assert "RBAC" in get(server, f"http://{VIP}/denied")


def test_plain_text_from_outside_is_held_to_the_mode_of_the_port(client: Host):
    # The client's range is excluded, so that its calls come without a sidecar.
    refused = client.run("curl", "-sS", "-m", "10", "http://10.77.0.1:9080/", check=False)
    assert refused.returncode in {52, 56}, "plain text is refused"
    peer, port, _, _ = get(client, "http://10.77.0.1:9081/undeclared").split()
    assert (peer, port) == ("::ffff:127.0.0.6", "9081")


def test_an_excluded_port_is_reached_past_the_sidecar(client: Host):
    peer, _, _, _ = get(client, "http://10.77.0.1:9082/").split()
    assert peer == f"::ffff:{client.address}"


def test_health_and_metrics_are_reached(client: Host):
    assert get(client, "http://10.77.0.1:15021/healthz/ready", "-f", "-o", "/dev/null") == ""
    assert "istio_requests_total" in get(client, "http://10.77.0.1:15090/metrics")


def test_the_administration_is_not_reached(client: Host):
    for port in (15000, 15001):
        done = client.run("curl", "-sS", "-m", "5", f"http://10.77.0.1:{port}/", check=False)
        assert done.stdout in {"", "upstream refused the connection"}


def test_a_name_without_an_address_is_found_by_dns_and_redirected(client: Host):
    found = dig(client, "named.example", "A").split()
    assert len(found) == 1
    assert found[0].startswith("240.240.")
    assert client.python(CALL, found[0], "7001") == "hello ::ffff:127.0.0.6\nping\n"


def dig(host: Host, name: str, kind: str, *options: str) -> str:
    return host.run(
        "dig", "+short", "+tries=1", "-p", "15053", "@127.0.0.1", name, kind, *options
    ).stdout


@pytest.mark.needs("dig")
@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
def test_other_names_are_answered_by_the_resolver_that_was_asked_first(
    client: Host, transport: str
):
    # Nothing says where the sidecar is: the question is redirected to it.
    words = ("dig", "+short", "+tries=1", transport)
    assert client.run(*words, "other.example", "A").stdout.split() == ["192.0.2.1"]
    assert client.run(*words, "reviews.default.svc.cluster.local", "A").stdout.split() == [VIP]


def test_programs_find_names_through_the_resolver_of_their_library(client: Host):
    look_up = "import socket, sys; print(socket.gethostbyname(sys.argv[1]))"
    assert client.python(look_up, "reviews") == f"{VIP}\n"
    assert client.python(look_up, "named.example").startswith("240.240.")
    assert client.python(look_up, "other.example") == "192.0.2.1\n"


@pytest.mark.needs("dig")
@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
def test_names_of_the_mesh_are_answered(client: Host, transport: str):
    for name in (
        "reviews",
        "reviews.default",
        "reviews.default.svc",
        "REVIEWS.default.svc.cluster.local",
    ):
        assert dig(client, name, "A", transport).split() == [VIP]
        assert dig(client, name, "AAAA", transport).split() == [VIP6]


@pytest.mark.needs("dig")
def test_a_name_of_the_mesh_never_does_not_exist(client: Host):
    said = client.run("dig", "+tries=1", "-p", "15053", "@127.0.0.1", "reviews", "HTTPS").stdout
    assert "status: NOERROR" in said
    assert "ANSWER: 0" in said


def test_junk_is_survived(client: Host):
    junk = """
import os, socket
to = ("127.0.0.1", 15053)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    for length in list(range(0, 40)) * 20:
        udp.sendto(os.urandom(length), to)
for _ in range(20):
    with socket.create_connection(to) as tcp:
        tcp.sendall(b"\\xff\\xff" + os.urandom(30))
"""
    client.python(junk)
    assert dig(client, "reviews", "A").split() == [VIP]
