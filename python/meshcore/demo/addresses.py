"""Loopback addresses for one demo: a range that nothing else uses."""

import errno
import socket
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from meshcore.errors import StartFailed

# What the files of the demo are written for; another range takes its place.
WRITTEN_FOR = "127.87.0."
# Last numbers of the workloads, by name.
WORKLOADS = {
    "shop": 11,
    "catalog": 12,
    "ratings": 13,
    "tastings-v1": 21,
    "tastings-v2": 22,
    "tastings-v3": 23,
}
# Where a browser comes in. Not all environments forward other addresses than this one.
DOOR = "127.0.0.1"
# Port of the programs.
PROGRAM_PORT = 9080
# What a sidecar listens on. Source: Istio's ports.
SIDECAR_PORTS = (15000, 15001, 15006, 15008, 15021, 15090)
# A socket at this port of the range's last address says that the range is taken.
_LOCK_PORT = 15999
_LAST = 254
# At this address, a socket at the port of a door says that a demo has it, or will.
_DOOR_LOCKS = "127.87.255.254"
# Doors that are tried when none is asked for.
_DOORS = range(8080, 8100)


@dataclass(frozen=True, slots=True)
class Taken:
    """What one demo has for itself, until it is closed or the process ends."""

    prefix: str
    """Begin of the addresses of its workloads."""
    door_port: int
    """Port on `DOOR` that a browser comes in by."""

    def address(self, workload: str) -> str:
        """Returns the address of a workload."""
        return f"{self.prefix}{WORKLOADS[workload]}"

    def fitted(self, text: str) -> str:
        """Returns a file of the demo with the addresses of this range."""
        return text.replace(WRITTEN_FOR, self.prefix)


@contextmanager
def taken(port: int | None) -> Generator[Taken]:
    """Takes a range of addresses and a port for the door, the given one or a free one.

    Raises:
        StartFailed: There is no range, or no port.
    """
    prefix, range_lock = _range()
    with range_lock:
        door_port, door_lock = _door(port)
        with door_lock:
            yield Taken(prefix, door_port)


def _range() -> tuple[str, socket.socket]:
    why = "every range from 127.87.0 to 127.87.254 is in use by another demo"
    for third in range(255):
        prefix = f"127.87.{third}."
        lock = _listen(f"{prefix}{_LAST}", _LOCK_PORT)
        if lock is None:
            continue
        used = _used(prefix)
        if used is None:
            return prefix, lock
        lock.close()
        why = f"{used} is in use, and so is its port at other addresses"
    raise StartFailed(f"{why}: end what listens there, see ss -ltnp")


def _door(asked: int | None) -> tuple[int, socket.socket]:
    for port in [asked] if asked else _DOORS:
        lock = _listen(_DOOR_LOCKS, port) if _is_free(DOOR, port) else None
        if lock is not None:
            return port, lock
    tried = f"port {asked} is" if asked else f"ports {_DOORS[0]} to {_DOORS[-1]} are"
    raise StartFailed(f"{tried} in use on {DOOR}: give another one as --port")


def _used(prefix: str) -> str | None:
    """Returns what is in use of a range already."""
    wanted = [
        (f"{prefix}{last}", port)
        for last in WORKLOADS.values()
        for port in (PROGRAM_PORT, *SIDECAR_PORTS)
    ]
    return next((f"{host}:{port}" for host, port in wanted if not _is_free(host, port)), None)


def _is_free(host: str, port: int) -> bool:
    found = _listen(host, port)
    if found is None:
        return False
    found.close()
    return True


def _listen(host: str, port: int) -> socket.socket | None:
    """Returns a socket that listens, `None` where one does already."""
    made = socket.socket()
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that linger
        made.bind((host, port))
        made.listen()
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            return None
        why = (error.strerror or str(error)).lower()
        raise StartFailed(f"{host}:{port}: {why}") from error
    return made
