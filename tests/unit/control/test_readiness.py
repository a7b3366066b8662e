"""Whether the application takes requests."""

import socket
import sys
import threading
import time
from contextlib import closing

import pytest

from meshcore.control.readiness import Readiness

QUICK = {
    "initial_delay_ms": 0, "timeout_ms": 500, "period_ms": 10, "success_threshold": 1,
    "failure_threshold": 2,
}  # fmt: skip


class Watched:
    """Runs a readiness, and keeps what it told."""

    def __init__(self, probe: dict | None, port: int) -> None:
        self.told: list[str | None] = []
        self.readiness = Readiness(probe, "127.0.0.1", port, self.told.append)
        self.thread = threading.Thread(target=self.readiness.run)
        self.thread.start()

    def wait(self, count: int) -> list[str | None]:
        end = time.monotonic() + 10
        while len(self.told) < count:
            assert time.monotonic() < end, self.told
            time.sleep(0.005)
        return self.told

    def close(self) -> None:
        self.readiness.close()
        self.thread.join()


def answering(line: bytes) -> socket.socket:
    """Returns a listener that answers every request with this line."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                connection.sendall(line)

    threading.Thread(target=serve, daemon=True).start()
    return listener


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_a_port_that_takes_connections_is_ready_and_one_that_does_not_is_not():
    port = free_port()
    check = {"tcp": {"port": port, "host": None}}
    with closing(Watched({**QUICK, "check": check}, 1)) as watched:
        time.sleep(0.1)
        assert not watched.told
        with socket.create_server(("127.0.0.1", port)):
            assert watched.wait(1) == [None]
        ready, why = watched.wait(2)[:2]
        assert ready is None
        assert "refused" in str(why)


@pytest.mark.parametrize(
    ("line", "is_ready"),
    [(b"HTTP/1.1 200 OK\r\n", True), (b"HTTP/1.0 302 \n", True), (b"HTTP/1.1 503 no\r\n", False),
     (b"junk\r\n", False), (b"", False)],
)  # fmt: skip
def test_http(line, is_ready):
    with answering(line) as listener:
        port = listener.getsockname()[1]
        check = {"http": {"path": "/ready", "port": port, "host": None, "headers": [["A", "b"]]}}
        with closing(Watched({**QUICK, "check": check}, port)) as watched:
            if is_ready:
                assert watched.wait(1) == [None]
            else:
                time.sleep(0.2)
                assert not watched.told


def test_a_command():
    for code, told in (("", [None]), ("raise SystemExit(1)", [])):
        check = {"exec": {"command": [sys.executable, "-c", code]}}
        with closing(Watched({**QUICK, "timeout_ms": 9000, "check": check}, 1)) as watched:
            if told:
                watched.wait(1)
            else:
                time.sleep(0.3)
            assert watched.told == told


def test_a_command_that_is_not_there_is_not_ready():
    with closing(Watched({**QUICK, "check": {"exec": {"command": ["/none"]}}}, 1)) as watched:
        time.sleep(0.1)
        assert watched.thread.is_alive()
        assert not watched.told


def test_without_a_probe_the_port_is_asked():
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        closing(Watched(None, listener.getsockname()[1])) as watched,
    ):
        assert watched.wait(1) == [None]
