"""Messages with listening sockets, over a Unix socket between two processes of one user.

A message is JSON behind its length (4 bytes, network order); the descriptors follow, a part of
them with each further byte.
"""

import json
import select
import socket
import time
from array import array
from collections.abc import Iterable, Mapping

TYPE_CHECKING = False  # as type checkers know it; `typing` would take memory in each process
if TYPE_CHECKING:
    from typing import Any

# A purpose, and the descriptor of a socket that listens for it.
Pair = tuple[str, int]

# Longest message that is read.
MOST_BYTES = 1 << 20
# Descriptors in one part. Source: the kernel takes at most 253 (SCM_MAX_FD, unix(7)).
_AT_ONCE = 200
_LENGTH_BYTES = 4


class Gone(Exception):
    """The other process has ended, is silent for too long, or talks of something else."""


def send(
    channel: socket.socket, message: Mapping[str, object], listeners: Iterable[Pair] = ()
) -> None:
    """Sends a message; the descriptors stay open here.

    Raises:
        Gone: The other process does not take it.
    """
    pairs = list(listeners)
    data = json.dumps({**message, "purposes": [purpose for purpose, _ in pairs]}).encode()
    descriptors = [descriptor for _, descriptor in pairs]
    try:
        channel.sendall(len(data).to_bytes(_LENGTH_BYTES, "big") + data)
        for at in range(0, len(descriptors), _AT_ONCE):
            socket.send_fds(channel, [b"\0"], descriptors[at : at + _AT_ONCE])
    except OSError as error:
        raise Gone(str(error)) from error


def receive(channel: socket.socket) -> "tuple[dict[str, Any], list[Pair]]":
    """Returns the next message, with sockets that are the caller's to close.

    The timeout of the channel holds for the whole message.

    Raises:
        Gone: There is none, or it is not whole.
    """
    descriptors: list[int] = []
    within = channel.gettimeout()
    until = None if within is None else time.monotonic() + within
    try:
        message = json.loads(_exactly(channel, _length(channel, until), until))
        purposes = [str(purpose) for purpose in message.pop("purposes")]
        while len(descriptors) < len(purposes):
            _limit(channel, until)
            descriptors += _part(channel)
        return message, list(zip(purposes, descriptors, strict=True))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        _close(descriptors)
        raise Gone(str(error)) from error
    finally:
        channel.settimeout(within)


def is_readable(channel: socket.socket) -> bool:
    """Whether the other process has said something, or has ended."""
    poll = select.poll()  # `select.select` knows no descriptors above 1023
    poll.register(channel, select.POLLIN)
    return bool(poll.poll(0))


def close(listeners: Iterable[Pair]) -> None:
    """Closes the descriptors."""
    _close(descriptor for _, descriptor in listeners)


def _length(channel: socket.socket, until: float | None) -> int:
    length = int.from_bytes(_exactly(channel, _LENGTH_BYTES, until), "big")
    if length > MOST_BYTES:
        raise ValueError(f"a message of {length} bytes")
    return length


def _limit(channel: socket.socket, until: float | None) -> None:
    """Lets the next call wait for what is left of the time."""
    if until is not None:
        rest = until - time.monotonic()
        if rest <= 0.0:
            raise TimeoutError("timed out")
        channel.settimeout(rest)


def _part(channel: socket.socket) -> list[int]:
    # Not `socket.recv_fds`, which leaves them to be inherited by whatever is started next.
    room = socket.CMSG_SPACE(_AT_ONCE * array("i").itemsize)
    _, ancillary, _, _ = channel.recvmsg(1, room, socket.MSG_CMSG_CLOEXEC)
    descriptors = array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    if not descriptors:
        raise EOFError("it ended within a message")
    return list(descriptors)


def _exactly(channel: socket.socket, count: int, until: float | None) -> bytes:
    """Reads so many bytes and none more: descriptors hang on those that follow."""
    data = b""
    while len(data) < count:
        _limit(channel, until)
        got = channel.recv(count - len(data))
        if not got:
            raise EOFError("it ended")
        data += got
    return data


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        socket.close(descriptor)
