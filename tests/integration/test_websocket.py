"""WebSockets by the websockets package, through two sidecars."""

import socket

import pytest
from tests.integration.harness import WITHIN_SECONDS
from websockets import exceptions
from websockets.sync import client

MESH = """
services:
  chat:
    port: 9080
    endpoints: ["@11:9080"]
    allow: [web]
  web:
    port: 8080
    endpoints: ["@21:8080"]
  stranger:
    port: 8080
    endpoints: ["@31:8080"]
"""


@pytest.fixture(scope="module")
def sidecars(shared):
    shared.write(MESH)
    shared.program("chat", 11, 9080)
    return shared.sidecars(("chat",), ("web",), ("stranger",))


def connect(sidecar, path="/"):
    """Opens a WebSocket to `chat` through a sidecar."""
    stream = socket.create_connection(sidecar.host_port("outbound"), timeout=WITHIN_SECONDS)
    try:
        return client.connect(f"ws://chat:9080{path}", sock=stream, proxy=None)
    except Exception:
        stream.close()
        raise


def test_messages_of_both_kinds_come_back(sidecars):
    with connect(sidecars[1]) as chat:
        for number in range(100):
            chat.send(f"message {number}")
            assert chat.recv(WITHIN_SECONDS) == f"message {number}"
            chat.send(bytes([number]) * number)
            assert chat.recv(WITHIN_SECONDS) == bytes([number]) * number


def test_a_large_message_comes_back_whole(sidecars):
    with connect(sidecars[1]) as chat:
        chat.send(b"l" * 900_000)
        assert chat.recv(WITHIN_SECONDS) == b"l" * 900_000


def test_pings_are_answered_by_the_other_end(sidecars):
    with connect(sidecars[1]) as chat:
        assert chat.ping(b"are you there").wait(WITHIN_SECONDS)


def test_what_the_server_says_first_is_not_lost(sidecars):
    """It follows the 101 in one write, before the client has said anything."""
    with connect(sidecars[1], "/early") as chat:
        assert [chat.recv(WITHIN_SECONDS) for _ in range(3)] == ["early 0", "early 1", "early 2"]


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
def test_the_servers_close_code_arrives(sidecars, code):
    with connect(sidecars[1]) as chat:
        chat.send(f"close {code}")
        with pytest.raises(exceptions.ConnectionClosed) as closed:
            chat.recv(WITHIN_SECONDS)
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (code, "as you wish")


def test_closing_ends_the_connection(sidecars):
    with connect(sidecars[1]) as chat:
        chat.close(1000, "done")
        assert chat.close_code == 1000


def test_an_answer_that_is_no_upgrade_passes(sidecars):
    with pytest.raises(exceptions.InvalidStatus) as refused:
        connect(sidecars[1], "/refused")
    assert refused.value.response.status_code == 418
    assert refused.value.response.body == b"no chat\n"


def test_who_is_not_allowed_gets_no_upgrade(sidecars):
    with pytest.raises(exceptions.InvalidStatus) as refused:
        connect(sidecars[2])
    assert refused.value.response.status_code == 403


def test_what_the_client_says_before_the_upgrade_is_not_lost(sidecars):
    """Its first frame is in one write with the request: nobody may wait for that, but some do."""
    handshake = (
        b"GET / HTTP/1.1\r\nhost: chat:9080\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    text = b"early"
    frame = bytes([0x81, 0x80 | len(text)]) + bytes(4) + text  # masked with zeros
    with socket.create_connection(sidecars[1].host_port("outbound"), timeout=10) as stream:
        stream.sendall(handshake + frame)
        got = b""
        while not got.endswith(text):
            piece = stream.recv(4096)
            assert piece, got
            got += piece
    head, _, answer = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101")
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
    assert answer == bytes([0x81, len(text)]) + text
