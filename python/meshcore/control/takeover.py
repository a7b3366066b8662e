"""A new process takes the listening sockets over from the running one of the same workload.

The running one listens on a Unix socket in the state directory. Whoever comes says who it is, gets
all listening sockets, starts on them, and says when it accepts. Only then the one before stops
accepting: whichever ends in between, the other serves.

    new: {protocol, version, workload, application, ready_file}
    old: {protocol, version, pid, application} and the sockets, or {protocol, refused}
    new: {serving}
    old: {handed_over}, or {gave_up}: it has waited for too long and goes on, and the new one ends
"""
# pathlib would take 1.3 MB beside the data plane.
# ruff: noqa: PTH118, PTH119, PTH120

import logging
import os
import socket
import struct
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any
from zlib import crc32

from meshcore.control import passing
from meshcore.control.passing import Gone, Pair
from meshcore.errors import StartFailed

_log = logging.getLogger("meshcore")

# Grows when old and new would misunderstand each other.
PROTOCOL = 1
# How long the old one may take to answer: it looks four times a second.
ANSWER_SECONDS = 10.0
# Source: `struct ucred` of unix(7): process, user, group.
_CREDENTIALS = struct.Struct("3i")


class NobodyRuns(StartFailed):
    """No process of this workload can be taken over from."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What only one sidecar stands beside."""

    mesh: str
    namespace: str
    name: str
    address: str

    def __str__(self) -> str:
        return f"{self.name}.{self.namespace} at {self.address} of {self.mesh}"

    def socket_path(self, state: str) -> str:
        """Returns where its sidecar is asked for its sockets."""
        number = crc32(os.fsencode(f"{self.mesh}\0{self.namespace}\0{self.address}"))
        name = self.name.replace("/", "_")[:64]
        return os.path.join(state, "takeover", f"{name}-{number:08x}.sock")


@dataclass(frozen=True, slots=True)
class Taken:
    """Sockets of another process, which goes on accepting until it is told."""

    listeners: list[Pair]
    pid: int
    application: bool
    """Whether it, or one before it, keeps an application, which stays there."""
    channel: socket.socket

    def serving(self) -> None:
        """Says that this process accepts, and waits until the other one does not any more.

        Raises:
            StartFailed: The other one has waited for too long, and goes on.
        """
        try:
            with suppress(Gone):  # what it said before it left can still be read
                passing.send(self.channel, {"serving": True})
            message, _ = passing.receive(self.channel)
        except Gone as error:
            _log.warning("process %d, which had the sockets before, says nothing: %s",
                         self.pid, error)  # fmt: skip
        else:
            if message.get("gave_up"):
                raise StartFailed("the running sidecar waited for too long and goes on: try again")
            _log.info("took over from process %d, which drains", self.pid)
        finally:
            self.channel.close()


def take(state: str, workload: Workload, about: Mapping[str, object]) -> Taken | None:
    """Asks the running sidecar of a workload for its sockets; `None` when it ends meanwhile.

    Args:
        state: The state directory of both.
        workload: Which one.
        about: What the running one is told of the new one: `version`, `application` (whether it
            starts one) and `ready_file`.

    Raises:
        NobodyRuns: There is none.
        StartFailed: It belongs to somebody else, does not answer, or refuses.
    """
    channel = _connect(workload.socket_path(state), workload)
    try:
        _check_peer(channel)
        channel.settimeout(ANSWER_SECONDS)
        hello = {"protocol": PROTOCOL, "workload": asdict(workload), **about}
        passing.send(channel, hello)
        answer, listeners = passing.receive(channel)
    except Gone as error:
        channel.close()
        if isinstance(error.__cause__, TimeoutError):
            raise StartFailed(
                "the running sidecar does not answer: if it hangs, end it and start without"
                " --takeover"
            ) from error
        return None
    except StartFailed:
        channel.close()
        raise
    if why := _refusal_of(answer):
        passing.close(listeners)
        channel.close()
        raise StartFailed(f"the running sidecar does not hand over: {why}")
    application = bool(answer.get("application"))
    return Taken(listeners, int(answer["pid"]), application, channel)


def _refusal_of(answer: Mapping[str, Any]) -> str | None:
    if answer.get("protocol") != PROTOCOL:
        version = answer.get("protocol")
        return (
            f"it speaks version {version} of the handover, and this one {PROTOCOL}:"
            " end it and start without --takeover"
        )
    why = answer.get("refused")
    return str(why) if why else None


def _connect(path: str, workload: Workload) -> socket.socket:
    channel = socket.socket(socket.AF_UNIX)
    channel.settimeout(ANSWER_SECONDS)
    try:
        with unix_address(path) as address:
            channel.connect(address)
    except PermissionError as error:
        channel.close()
        raise StartFailed(f"the sidecar of {workload} belongs to another user") from error
    except OSError as error:
        channel.close()
        raise NobodyRuns(
            f"no sidecar of {workload} runs here ({path}): start it without --takeover"
        ) from error
    return channel


@contextmanager
def unix_address(path: str) -> Generator[str]:
    """A path of any length as an address, which has 107 bytes at most. Source: unix(7)."""
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{os.path.basename(path)}"
    finally:
        os.close(directory)


def _check_peer(channel: socket.socket) -> None:
    """Refuses sockets of others, which could lead anywhere."""
    if user_of(channel) != os.geteuid():
        raise StartFailed("what offers the sockets of the running sidecar is another user's")


def user_of(channel: socket.socket) -> int:
    """Returns the user at the other end of a connected Unix socket.

    The process would be the one that listened first, which may have handed over since.
    """
    data = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _pid, user, _group = _CREDENTIALS.unpack(data)
    return int(user)
