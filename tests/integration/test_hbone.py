"""HBONE by hand: HTTP/2 over mutual TLS, from a peer that is not meshcore."""

import socket
import ssl

import pytest
from h2 import connection as h2
from h2 import events

MESH = """
services:
  echo:
    port: 7000
    protocol: TCP
    endpoints: ["@11:7000"]
    allow: [web]
"""


@pytest.fixture(scope="module")
def echo(shared):
    shared.write(MESH)
    shared.program("tcp", 11, 7000)
    return shared.sidecar("echo")


@pytest.fixture(scope="module")
def hbone(shared, echo):
    """Returns a function that opens a connection for HBONE to `echo`, as `web`."""
    out = shared.directory / "web"
    shared.meshcore(
        "cert", "issue", "--service-account", "web", "--out", out, "--mesh", shared.documents
    )
    context = ssl.create_default_context(cafile=str(out / "root-cert.pem"))
    context.check_hostname = False  # the identity is a URI
    context.load_cert_chain(out / "cert-chain.pem", out / "key.pem")
    context.set_alpn_protocols(["h2"])

    def open_one():
        plain = socket.create_connection(echo.host_port("hbone"), timeout=20)
        return context.wrap_socket(plain, server_hostname=shared.address(11))

    return open_one


class Peer:
    """An HTTP/2 client that knows CONNECT, and nothing of meshes."""

    def __init__(self, stream):
        self.stream, self.h2, self.events = stream, h2.H2Connection(), []
        self.h2.initiate_connection()
        self.flush()

    def flush(self):
        self.stream.sendall(self.h2.data_to_send())

    def connect(self, authority):
        number = self.h2.get_next_available_stream_id()
        self.h2.send_headers(number, [(":method", "CONNECT"), (":authority", authority)])
        self.flush()
        return number

    def send(self, number, data, *, end=False):
        self.h2.send_data(number, data, end_stream=end)
        self.flush()

    def until(self, kind, number):
        """Returns all events of a stream up to one of `kind`."""
        seen = []
        while True:
            while self.events:
                event = self.events.pop(0)
                if getattr(event, "stream_id", None) != number:
                    continue
                seen.append(event)
                if isinstance(event, kind):
                    return seen
            data = self.stream.recv(1 << 16)
            assert data, "the connection has ended"
            self.events += self.h2.receive_data(data)
            self.flush()


def test_hbone_from_a_foreign_peer(shared, hbone):
    with hbone() as stream:
        assert stream.selected_alpn_protocol() == "h2"
        peer = Peer(stream)
        number = peer.connect(f"{shared.address(11)}:7000")
        (opened,) = peer.until(events.ResponseReceived, number)
        assert dict(opened.headers)[b":status"] == b"200"
        peer.send(number, b"through a tunnel")
        seen = peer.until(events.DataReceived, number)
        assert seen[-1].data == b"through a tunnel"
        peer.send(number, b"", end=True)
        rest = peer.until(events.StreamEnded, number)
        data = b"".join(e.data for e in rest if isinstance(e, events.DataReceived))
        assert data == b"goodbye"


@pytest.mark.parametrize("authority", ["@11:1", "@12:2525", "127.0.0.1:7000", "example.com:80"])
def test_hbone_leads_nowhere_else(shared, hbone, authority):
    with hbone() as stream:
        peer = Peer(stream)
        number = peer.connect(authority.replace("@", shared.subnet + "."))
        (refused,) = peer.until(events.ResponseReceived, number)
        assert int(dict(refused.headers)[b":status"]) >= 400
