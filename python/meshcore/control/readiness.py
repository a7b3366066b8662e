"""Whether the application takes requests, asked again and again."""

import logging
import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from typing import Any

_log = logging.getLogger("meshcore")

# Without a probe of a WorkloadGroup: whether a connection is made, soon after the start and seldom
# later, and how many failures in a row are not chance.
SOON_SECONDS, LATER_SECONDS, WITHIN_SECONDS, FAILURES = 0.2, 5.0, 1.0, 3
# An answer's first line is no longer. Source: room for the longest reason that servers send.
_LINE_BYTES = 1024
_OK = range(200, 400)
# Also those of a name, a port or an argument that cannot be one.
_ERRORS = (OSError, ValueError, OverflowError)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the application is asked, and what is believed."""

    delay: float = 0.0
    soon: float = SOON_SECONDS
    """From one check to the next until it is ready."""
    later: float = LATER_SECONDS
    """From then on."""
    successes: int = 1
    failures: int = FAILURES


class Readiness:
    """Asks, and tells when the answer is another one."""

    def __init__(
        self,
        probe: Mapping[str, Any] | None,
        host: str,
        port: int,
        tell: Callable[[str | None], None],
        *,
        is_ready: bool = False,
    ) -> None:
        """Asks nothing yet.

        Args:
            probe: That of the WorkloadGroup; without one, a connection is made to the port.
            host: Where the application listens.
            port: One of its ports.
            tell: Hears `None` when it is ready, else why it is not.
            is_ready: What has been told so far.
        """
        self._tell, self._was_ready = tell, is_ready
        self._closed = Event()
        self._pace, self._check = _pace(probe), _check(probe, host, port)

    def run(self) -> None:
        """Asks until it is closed."""
        pace, in_a_row, is_ready = self._pace, 0, self._was_ready
        self._closed.wait(pace.delay)
        while not self._closed.is_set():
            why = self._check()
            in_a_row = in_a_row + 1 if (why is None) != is_ready else 0
            if in_a_row >= (pace.failures if is_ready else pace.successes):
                is_ready, in_a_row = not is_ready, 0
                self._tell(why)
                if why is None:
                    _log.info("the application is ready")
                else:
                    _log.warning("the application is not ready: %s", why)
            self._closed.wait(pace.later if is_ready else pace.soon)

    def close(self) -> None:
        """Ends `run`."""
        self._closed.set()


def _pace(probe: Mapping[str, Any] | None) -> Pace:
    if probe is None:
        return Pace()
    period = max(probe["period_ms"], 1) / 1000
    return Pace(
        probe["initial_delay_ms"] / 1000, period, period,
        max(probe["success_threshold"], 1), max(probe["failure_threshold"], 1),
    )  # fmt: skip


def _check(probe: Mapping[str, Any] | None, host: str, port: int) -> Callable[[], str | None]:
    """Returns what asks once: `None` is ready, else why it is not."""
    if probe is None:
        return lambda: _connects(host, port, WITHIN_SECONDS)
    within = max(probe["timeout_ms"], 1) / 1000
    (kind, check), *_ = probe["check"].items()
    match kind:
        case "http" if check.get("scheme", "http").lower() == "http":
            return lambda: _gets(check, host, within)
        case "tcp":
            return lambda: _connects(check.get("host") or host, check["port"], within)
        case "exec":
            return lambda: _ends_well(check["command"], within)
        case _:
            _log.warning("a probe by %s is asked as one by tcp", check.get("scheme", kind))
            return lambda: _connects(check.get("host") or host, check["port"], within)


def _connects(host: str, port: int, within: float) -> str | None:
    try:
        socket.create_connection((host, port), timeout=within).close()
    except _ERRORS as error:
        return f"{host}:{port}: {_why(error)}"
    return None


def _gets(check: Mapping[str, Any], host: str, within: float) -> str | None:
    where = (check.get("host") or host, check["port"])
    name = f"http://{where[0]}:{where[1]}{check['path']}"
    fields = {"Host": where[0], "Connection": "close", **dict(check.get("headers") or ())}
    lines = [f"GET {check['path'] or '/'} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items())]
    try:
        with socket.create_connection(where, timeout=within) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1", "replace"))
            line = _first_line(connection, time.monotonic() + within)
    except _ERRORS as error:
        return f"{name}: {_why(error)}"
    with suppress(IndexError, ValueError):
        status = int(line.split()[1])
        return None if status in _OK else f"{name}: status {status}"
    return f"{name}: no answer of HTTP"


def _why(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()


def _first_line(connection: socket.socket, until: float) -> bytes:
    line = b""
    while b"\n" not in line and len(line) < _LINE_BYTES:
        connection.settimeout(max(until - time.monotonic(), 0.001))
        got = connection.recv(_LINE_BYTES - len(line))
        if not got:
            break
        line += got
    return line.partition(b"\n")[0]


def _ends_well(command: list[str], within: float) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - the mesh's documents name it
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, timeout=within, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"{os.path.basename(command[0])}: not done within {within:g} s"  # noqa: PTH119
    except (*_ERRORS, IndexError) as error:
        return f"{command[:1]}: {str(error).lower()}"
    return None if done.returncode == 0 else f"{command[0]}: exit status {done.returncode}"
