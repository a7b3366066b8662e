"""Memory and descriptors that do not suffice: what the data plane gives up, and how it recovers.

The limit of memory is that of a control group, which needs root: whoever passes it is killed.
"""

import os
import resource
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.reliability import rig
from tests.reliability.h2_wire import GOAWAY, PREFACE, SETTINGS, frame

LIMIT_BYTES = 256 * 2**20
RECOVER_SECONDS = 5.0
# How long clients go on to come, at least, and how many may.
PRESS_SECONDS = 3.0
MOST_CLIENTS = 12_000
# After so many clients, those that came before the trouble are looked at.
LOOK_EVERY = 20

_REQUEST = b"GET / HTTP/1.1\r\nHost: origin.test\r\n\r\n"
# Close to the largest head that is read.
_HALF_HEAD = b"GET / HTTP/1.1\r\nHost: origin.test\r\nX-Large: " + b"x" * 60_000
# Clients that need twice the memory.
COUNT = 2 * LIMIT_BYTES // len(_HALF_HEAD)


@dataclass
class Outcome:
    """What happened when something did not suffice."""

    what: str
    clients: int
    """That came. All together would have needed twice what there is."""
    refused: int
    """Connections closed as they came."""
    cut: int
    """Connections cut off."""
    told_503: bool
    """A request on a connection from before was answered with 503."""
    told_goaway: bool
    """An HTTP/2 connection from before was told to go."""
    peak_bytes: int
    """Most memory that the group had; 0 where it is not limited."""
    recovered_seconds: float
    """Until a new client was answered, after all others had left."""
    said: list[str]
    """What people were told."""
    is_alive: bool

    def failures(self) -> Iterator[str]:
        """What must not be."""
        shed = self.refused + self.cut
        if not self.is_alive or self.recovered_seconds > RECOVER_SECONDS or not shed:
            yield f"{self}"
        if len(self.said) != 1:
            yield f"{self.what}: not told once: {self.said}"
        if self.peak_bytes and not (self.told_503 and self.told_goaway):
            yield f"{self.what}: without 503 and GOAWAY: {self}"


def can_limit_memory() -> bool:
    """Whether this process may make control groups that limit memory."""
    return os.access(_hierarchy()[0], os.W_OK)


def descriptors(files: int = 256) -> Outcome:
    """Twice as many clients as there are descriptors."""
    with tempfile.TemporaryDirectory(prefix="meshcore-scarce-") as made, ExitStack() as stack:
        origin = stack.enter_context(rig.fast_origin(Path(made)))
        around = ("sh", "-c", f'ulimit -n {files}; exec "$@"', "sh")
        proxy = stack.enter_context(rig.meshcore(Path(made), origin, around=around))
        clients = [_connected(proxy.port) for _ in range(2 * files)]
        refused = sum(_is_closed(client) for client in clients[files:])
        for client in clients:
            client.close()
        recovered = _until_answered(proxy.port)
        return Outcome(
            f"{files} descriptors", len(clients), refused, 0, told_503=False, told_goaway=False,
            peak_bytes=0, recovered_seconds=recovered, said=_said(proxy), is_alive=proxy.is_alive(),
        )  # fmt: skip


def comers() -> Outcome:
    """Clients that send half a head as they come, for twice the memory."""

    def press(port: int, before: "Before", clients: list[socket.socket]) -> None:
        end = time.monotonic() + PRESS_SECONDS
        while len(clients) < COUNT or (time.monotonic() < end and len(clients) < MOST_CLIENTS):
            clients.append(_connected(port))
            _send(clients[-1])
            if len(clients) % LOOK_EVERY == 0:
                before.look()

    return _memory("half-sent heads of 60 kB, from new clients", press)


def sleepers() -> Outcome:
    """Clients that were let in while there was memory, and send half a head then."""

    def press(port: int, before: "Before", clients: list[socket.socket]) -> None:
        clients += [_connected(port) for _ in range(COUNT)]
        for number, client in enumerate(clients):
            _send(client)
            if number % LOOK_EVERY == 0:
                before.look()

    return _memory("half-sent heads of 60 kB, from clients of before", press)


def _memory(what: str, press: Callable[[int, "Before", list[socket.socket]], None]) -> Outcome:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with tempfile.TemporaryDirectory(prefix="meshcore-scarce-") as made, ExitStack() as stack:
        origin = stack.enter_context(rig.fast_origin(Path(made)))
        group = stack.enter_context(_group(LIMIT_BYTES))
        around = ("sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh")
        proxy = stack.enter_context(rig.meshcore(Path(made), origin, around=around))
        before = stack.enter_context(closing(Before(proxy.port)))
        clients: list[socket.socket] = []
        press(proxy.port, before, clients)
        for client in clients:
            client.close()
        recovered = _until_answered(proxy.port)
        before.look()
        return Outcome(
            what, len(clients), proxy.metric("meshcore_connections_refused_total"),
            proxy.metric("meshcore_connections_cut_total"), before.told_503, before.told_goaway,
            _peak(group), recovered, _said(proxy), proxy.is_alive(),
        )  # fmt: skip


def _send(client: socket.socket) -> None:
    client.settimeout(0.2)
    with suppress(OSError):
        client.sendall(_HALF_HEAD)


class Before:
    """Clients from before the trouble: one asks now and then, one keeps an HTTP/2 connection."""

    def __init__(self, port: int) -> None:
        self.told_503 = self.told_goaway = False
        self._asking, self._streams = _connected(port), _connected(port)
        self._streams.sendall(PREFACE + frame(SETTINGS))
        self._came = b""

    def look(self) -> None:
        """Asks, and reads what came."""
        with suppress(OSError):
            if not self.told_503:
                self._asking.sendall(_REQUEST)
                self.told_503 = self._asking.recv(65_536).startswith(b"HTTP/1.1 503 ")
        self._streams.settimeout(0)
        with suppress(OSError):
            self._came += self._streams.recv(65_536)
        self.told_goaway = GOAWAY in _kinds(self._came)

    def close(self) -> None:
        """Leaves."""
        self._asking.close()
        self._streams.close()


def _said(proxy: rig.Running) -> list[str]:
    """What it has told people, which it looks for now and then."""
    end = time.monotonic() + RECOVER_SECONDS
    while not proxy.said() and time.monotonic() < end:
        time.sleep(0.05)
    return proxy.said()


def _kinds(came: bytes) -> Iterator[int]:
    while len(came) >= 9:
        yield came[3]
        came = came[9 + int.from_bytes(came[:3], "big") :]


def _connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def _is_closed(client: socket.socket) -> bool:
    client.settimeout(2.0)
    try:
        return client.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def _until_answered(port: int) -> float:
    began = time.monotonic()
    while time.monotonic() - began < 6 * RECOVER_SECONDS:
        with suppress(OSError), _connected(port) as client:
            client.sendall(_REQUEST)
            if client.recv(65_536).startswith(b"HTTP/1.1 200 "):
                break
        time.sleep(0.02)
    return time.monotonic() - began


def _hierarchy() -> tuple[Path, str, str]:
    """Where groups are made, and what limit and peak are called there."""
    first = Path("/sys/fs/cgroup/memory")
    if first.is_dir():
        return first, "memory.limit_in_bytes", "memory.max_usage_in_bytes"
    return Path("/sys/fs/cgroup"), "memory.max", "memory.peak"


@contextmanager
def _group(limit: int) -> Iterator[Path]:
    """A control group with this much memory."""
    root, limit_file, _ = _hierarchy()
    group = root / f"meshcore-scarce-{os.getpid()}"
    group.mkdir()
    try:
        (group / limit_file).write_text(str(limit))
        yield group
    finally:
        _remove(group)


def _remove(group: Path) -> None:
    """Removes a group whose last process was killed a moment ago."""
    for _ in range(100):
        with suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.05)


def _peak(group: Path) -> int:
    return int((group / _hierarchy()[2]).read_text())


def table(outcomes: list[Outcome]) -> str:
    """Returns the figures, as Markdown."""
    lines = [
        "| | clients | refused | cut off | 503, GOAWAY | peak (MiB) | recovered (s) | alive |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for o in outcomes:
        told = f"{'yes' if o.told_503 else 'no'}, {'yes' if o.told_goaway else 'no'}"
        lines.append(
            f"| {o.what} | {o.clients} | {o.refused} | {o.cut} | {told if o.peak_bytes else ''}"
            f" | {o.peak_bytes / 2**20:.0f} | {o.recovered_seconds:.1f} | {o.is_alive} |"
        )
    return "\n".join(lines)
