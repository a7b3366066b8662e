"""Loopback addresses for one demo: a range that nothing else uses."""

import errno
import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Self

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
# Doors that are tried when none is asked for.
_DOORS = range(8080, 8100)


@dataclass
class Range:
    """A range of addresses, taken until it is closed or the process ends."""

    prefix: str
    lock: socket.socket

    @classmethod
    def take(cls) -> Self:
        """Takes the first range that is free.

        Raises:
            StartFailed: There is none.
        """
        why = "every range from 127.87.0 to 127.87.255 is in use by another demo"
        for third in range(256):
            prefix = f"127.87.{third}."
            lock = _listen(f"{prefix}{_LAST}", _LOCK_PORT)
            if lock is None:
                continue
            taken = _taken(prefix)
            if taken is None:
                return cls(prefix, lock)
            lock.close()
            why = f"{taken} is in use, and so is its port at other addresses"
        raise StartFailed(f"{why}: end what listens there, see ss -ltnp")

    def address(self, workload: str) -> str:
        """Returns the address of a workload."""
        return f"{self.prefix}{WORKLOADS[workload]}"

    def fitted(self, text: str) -> str:
        """Returns a file of the demo with the addresses of this range."""
        return text.replace(WRITTEN_FOR, self.prefix)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, why: BaseException | None, at: TracebackType | None
    ) -> None:
        self.lock.close()


def door(asked: int | None) -> int:
    """Returns the port that a browser comes in by.

    Raises:
        StartFailed: The one that is asked for, or all that are tried, are in use.
    """
    for port in [asked] if asked else _DOORS:
        if _is_free(DOOR, port):
            return port
    tried = f"port {asked} is" if asked else f"ports {_DOORS[0]} to {_DOORS[-1]} are"
    raise StartFailed(f"{tried} in use on {DOOR}: give another one as --port")


def _taken(prefix: str) -> str | None:
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
