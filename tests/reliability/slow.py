"""Many clients that take their time, and what each costs.

Source of the number: a process here may have 20,000 files, and client and proxy each have one for
a connection (two where the proxy has called the origin).
"""

import resource
import socket
import ssl
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.reliability import rig

CONNECTIONS = 9_500
# Where the proxy needs a second file, for the origin.
FORWARDED = 4_500
# A head that is not whole, and a handshake that stands still, are given up; when that is looked at.
GIVEN_UP_SECONDS = 66
# Beyond 8 KiB: what rustls and h2 keep for each connection themselves.
EXPENSIVE = frozenset({"a ClientHello, and no more", "HTTP/2 without a request"})
_PROBE = b"GET / HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n\r\n"


def _client_hello() -> bytes:
    """The first flight of a mesh client, as OpenSSL writes it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["istio-http/1.1", "istio"])
    written = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), written, server_hostname="app.test")
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return written.read()


@dataclass(frozen=True)
class Slowness:
    """A way to be slow."""

    name: str
    data: bytes
    inbound: bool = False
    """It comes to the side with mutual TLS."""
    forwarded: bool = False
    """The origin is called, too."""
    reads: int = -1
    """Size of the client's receive buffer; -1 leaves it."""
    given_up: bool = False
    """The proxy ends it within `GIVEN_UP_SECONDS`."""


WAYS = [
    Slowness("nothing", b""),
    Slowness("half a head", b"GET / HTTP/1.1\r\nHost: origin.test\r\nX-Slow: ", given_up=True),
    Slowness("half a request line", b"GET /", given_up=True),
    Slowness("idle after an answer", _PROBE.replace(b"Connection: close\r\n", b"")),
    Slowness("half a ClientHello", _client_hello()[:100], inbound=True, given_up=True),
    Slowness("a ClientHello, and no more", _client_hello(), inbound=True, given_up=True),
    Slowness("HTTP/2 without a request", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"),
    Slowness(
        "half a body",
        b"POST / HTTP/1.1\r\nHost: origin.test\r\nContent-Length: 1000\r\n\r\nhalf",
        forwarded=True,
    ),
    Slowness(
        "half a chunk",
        b"POST / HTTP/1.1\r\nHost: origin.test\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf",
        forwarded=True,
    ),
    Slowness(
        "an answer of 4 MB, not read",
        b"GET /large HTTP/1.1\r\nHost: origin.test\r\n\r\n",
        forwarded=True,
        reads=4096,
    ),
]


@dataclass
class Outcome:
    """What many slow clients cost."""

    way: str
    connections: int
    held: int
    """Still open when all had come."""
    bytes_each: float
    probe_p50_ms: float
    probe_max_ms: float
    failed_probes: int
    given_up: int | None
    """Ended by the proxy in time; `None` where it has no reason to."""
    is_alive: bool


def run(
    ways: Sequence[Slowness], connections: int = CONNECTIONS, *, wait: bool = True
) -> list[Outcome]:
    """Opens so many connections of each way, at a new data plane."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    return [_run(way, connections, wait=wait) for way in ways]


def _run(way: Slowness, connections: int, *, wait: bool) -> Outcome:
    count = min(connections, FORWARDED) if way.forwarded else connections
    with (
        tempfile.TemporaryDirectory(prefix="meshcore-slow-") as directory,
        _origin(Path(directory), patient=way.forwarded) as port,
        rig.meshcore(Path(directory), port, mtls="PERMISSIVE" if way.inbound else "") as proxy,
    ):
        ask = _unrouted if way.forwarded else _probe
        _probe_times(ask, proxy.port, 20)  # warm
        before = proxy.memory_bytes()
        with _opened(proxy.inbound if way.inbound else proxy.port, way, count) as clients:
            time.sleep(1.0)
            grown = proxy.memory_bytes() - before
            held = sum(_is_open(client) for client in clients)
            probes = _probe_times(ask, proxy.port, 100)
            given_up = _await_end(clients) if wait and way.given_up else None
        took = [probe for probe in probes if probe is not None]
        return Outcome(
            way.name, count, held, grown / count,
            statistics.median(took) if took else 0.0, max(took, default=0.0),
            len(probes) - len(took), given_up, proxy.is_alive(),
        )  # fmt: skip


@contextmanager
def _opened(port: int, way: Slowness, count: int) -> Iterator[list[socket.socket]]:
    clients: list[socket.socket] = []
    try:
        for _ in range(count):
            client = socket.socket()
            if way.reads >= 0:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, way.reads)
            client.connect(("127.0.0.1", port))
            client.sendall(way.data)
            clients.append(client)
        yield clients
    finally:
        for client in clients:
            client.close()


def _is_open(client: socket.socket) -> bool:
    client.settimeout(0)
    try:
        return client.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def _await_end(clients: list[socket.socket]) -> int:
    end = time.monotonic() + GIVEN_UP_SECONDS
    left = list(clients)
    while left and time.monotonic() < end:
        left = [client for client in left if not _has_ended(client)]
        time.sleep(1.0)
    return len(clients) - len(left)


def _has_ended(client: socket.socket) -> bool:
    """Whether nothing more can come; reads an answer that tells why."""
    client.settimeout(0)
    try:
        while client.recv(4096):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _probe_times(ask: Callable[[int], None], port: int, count: int) -> list[float | None]:
    return [_timed(ask, port) for _ in range(count)]


def _timed(ask: Callable[[int], None], port: int) -> float | None:
    began = time.perf_counter()
    try:
        ask(port)
    except OSError:
        return None
    return (time.perf_counter() - began) * 1000


def _probe(port: int) -> None:
    _ask(port, _PROBE, b"HTTP/1.1 200 ")


def _unrouted(port: int) -> None:
    """Asks for an answer that needs no origin, where the origin does not answer."""
    _ask(port, b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 ")


def _ask(port: int, request: bytes, expected: bytes) -> None:
    with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as client:
        client.sendall(request)
        got = client.recv(4096)
    if not got.startswith(expected):
        raise ConnectionError(got)


@contextmanager
def _origin(directory: Path, *, patient: bool) -> Iterator[int]:
    directory.chmod(0o755)
    with rig.patient_origin(directory) if patient else rig.fast_origin(directory) as port:
        yield port


def table(outcomes: Sequence[Outcome]) -> str:
    """Returns the figures, as Markdown."""
    lines = [
        "| each client sends | clients | held | KiB each | a new client waits (ms) | |",
        "|---|---|---|---|---|---|",
    ]
    for o in outcomes:
        failed = f", {o.failed_probes} failed" if o.failed_probes else ""
        ended = "" if o.given_up is None else f"{o.given_up} within {GIVEN_UP_SECONDS} s"
        lines.append(
            f"| {o.way} | {o.connections} | {o.held} | {o.bytes_each / 1024:.1f}"
            f" | {o.probe_p50_ms:.1f}, {o.probe_max_ms:.1f}{failed} | {ended} |"
        )
    return "\n".join(lines)
