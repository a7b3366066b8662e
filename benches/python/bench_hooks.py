"""What does the way into Python and back add to a request? Time for 100 requests, one by one.

`make bench-python`. What the border costs is the difference to `none`; the processor time of the
same hooks, which wobbles less, is the scenario `python` of `make bench-peers`.
"""

import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from benches.peers import processes
from benches.peers.proxies import Setting
from benches.peers.proxies.meshcore import HOOKS
from benches.peers.proxies.origin import BODY, fast
from benches.peers.scenario import one
from benches.peers.start import started

REQUESTS = 100
_REQUEST = b"GET / HTTP/1.1\r\nhost: origin.test\r\nx-tenant: acme\r\n\r\n"


@pytest.fixture(scope="module")
def base() -> Iterator[Setting]:
    with tempfile.TemporaryDirectory() as scratch:
        port = processes.free_port()
        with processes.running(fast("http", Path(scratch), port), port):
            yield Setting(Path(scratch), 0, port)


@pytest.fixture
def ask(base, request) -> Iterator[Callable[[], None]]:
    """Asks `REQUESTS` times over one connection."""
    with started(one("meshcore", inbound=True, more=request.param), base) as running:
        connection = socket.create_connection(("127.0.0.1", running.port))

        def ask() -> None:
            for _request in range(REQUESTS):
                connection.sendall(_REQUEST)
                answer = b""
                while not answer.endswith(BODY.encode()):
                    piece = connection.recv(1 << 16)
                    assert piece, answer
                    answer += piece
                assert answer.startswith(b"HTTP/1.1 200 ")

        with connection:
            yield ask


@pytest.mark.parametrize("ask", ["", *HOOKS], indirect=True, ids=["none", *HOOKS])
def bench_hook(benchmark, ask):
    benchmark.pedantic(ask, rounds=30, warmup_rounds=5)
