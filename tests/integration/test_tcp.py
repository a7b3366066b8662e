"""TCP by CONNECT, through two sidecars with mutual TLS between them."""

import hashlib
import re
import socket
import threading

import pytest
from tests.integration.harness import eventually

MESH = """
services:
  echo:
    port: 7000
    protocol: TCP
    endpoints: ["@11:7000"]
    allow: [web]
  mail:
    port: 2525
    protocol: TCP
    endpoints: ["@12:2525"]
    allow: [web]
  absent:
    port: 7001
    protocol: TCP
    endpoints: ["@13:7001"]
  web:
    port: 8080
    endpoints: ["@21:8080"]
  stranger:
    port: 8080
    endpoints: ["@31:8080"]
"""
BODY = bytes(range(256)) * (5 * (1 << 20) // 256)


@pytest.fixture(scope="module")
def sidecars(shared):
    shared.write(MESH)
    shared.program("tcp", 11, 7000)
    shared.program("tcp", 12, 2525, "220 ready\r\n")
    return shared.sidecars(("echo",), ("mail",), ("web",), ("stranger",))


@pytest.fixture
def tunnel(sidecars):
    """Returns a function that opens a tunnel through a sidecar's outbound listener."""
    opened = []

    def open_one(authority, sidecar=2):
        stream = socket.create_connection(sidecars[sidecar].host_port("outbound"), timeout=20)
        opened.append(stream)
        stream.sendall(f"CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (byte := stream.recv(1)):
                break
            head += byte
        return stream, head.decode()

    yield open_one
    for stream in opened:
        stream.close()


def read_all(stream):
    parts = []
    while piece := stream.recv(1 << 16):
        parts.append(piece)
    return b"".join(parts)


def test_bytes_pass_and_half_a_close_too(tunnel):
    stream, head = tunnel("echo:7000")
    assert head.startswith("HTTP/1.1 200")
    stream.sendall(b"hello")
    assert stream.recv(5, socket.MSG_WAITALL) == b"hello"
    stream.shutdown(socket.SHUT_WR)
    assert read_all(stream) == b"goodbye"


def test_five_megabytes_pass_whole(tunnel):
    stream, _head = tunnel("echo:7000")

    def send():
        stream.sendall(BODY)
        stream.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=send)
    thread.start()
    got = read_all(stream)
    thread.join()
    assert len(got) == len(BODY) + len(b"goodbye")
    assert hashlib.sha256(got[: len(BODY)]).digest() == hashlib.sha256(BODY).digest()


def test_a_server_may_speak_first(tunnel):
    stream, head = tunnel("mail:2525")
    assert head.startswith("HTTP/1.1 200")
    assert stream.recv(11, socket.MSG_WAITALL) == b"220 ready\r\n"
    stream.sendall(b"QUIT")
    assert stream.recv(4, socket.MSG_WAITALL) == b"QUIT"


def test_many_tunnels_at_once(tunnel):
    streams = [tunnel("echo:7000")[0] for _ in range(40)]
    for number, stream in enumerate(streams):
        stream.sendall(b"%03d" % number)
    for number, stream in enumerate(streams):
        assert stream.recv(3, socket.MSG_WAITALL) == b"%03d" % number


def test_nobody_at_the_other_end_is_a_refusal(tunnel):
    assert re.match(r"HTTP/1.1 50[234]", tunnel("absent:7001")[1])


def test_who_is_not_allowed_gets_nothing(tunnel):
    stream, _head = tunnel("echo:7000", sidecar=3)
    try:
        stream.sendall(b"hello")
        assert stream.recv(5) == b""
    except OSError:
        pass  # reset, which is a refusal too


def test_both_sides_count_connections_and_bytes(tunnel, sidecars):
    before = counts(sidecars)
    stream, _head = tunnel("echo:7000")
    stream.sendall(b"0123456789")
    stream.shutdown(socket.SHUT_WR)
    assert read_all(stream) == b"0123456789goodbye"

    def grown():
        now = counts(sidecars)
        return now if now["closed"] == [n + 1 for n in before["closed"]] else None

    after = eventually(grown)
    assert after["opened"] == [n + 1 for n in before["opened"]]
    # As the one who called sees it. Source: Istio's metrics.
    assert after["received"] == [n + 10 for n in before["received"]]
    assert after["sent"] == [n + 17 for n in before["sent"]]


def counts(sidecars):
    """Returns each counter of `echo` as the server and the client have it."""
    names = {
        "opened": "istio_tcp_connections_opened_total",
        "closed": "istio_tcp_connections_closed_total",
        "received": "istio_tcp_received_bytes_total",
        "sent": "istio_tcp_sent_bytes_total",
    }
    texts = [sidecars[0].scrape(), sidecars[2].scrape()]
    return {short: [total(text, name) for text in texts] for short, name in names.items()}


def total(text, name):
    wanted = 'destination_service="echo.default.svc.cluster.local"'
    allowed = 'source_workload="web"'
    return sum(
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith(name + "{") and wanted in line and allowed in line
    )
