"""The running process offers its listening sockets to the next one; see `control.takeover`."""
# pathlib would take 1.3 MB beside the data plane.
# ruff: noqa: PTH103, PTH108, PTH120

import logging
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from meshcore.control import passing
from meshcore.control.passing import Gone, Pair
from meshcore.control.takeover import PROTOCOL, Workload, unix_address, user_of
from meshcore.errors import NativeError

_log = logging.getLogger("meshcore")

# The socket that others ask at is handed over like those for requests, under this purpose.
PURPOSE = "takeover"
# How long a message that was begun may take.
MESSAGE_SECONDS = 1.0
# How long the new one may take from the sockets to serving; it has compiled its documents before.
SERVING_SECONDS = 60.0


class Offer:
    """Where the next process asks for our sockets."""

    def __init__(
        self, state: str, workload: Workload, given: Iterable[Pair], *, application: bool
    ) -> None:
        """Listens; where nobody can be asked for it, there is a warning, and no takeover.

        Args:
            state: The state directory.
            workload: Whose sockets these are.
            given: What this process got from the one before, of which the `PURPOSE` is used.
            application: Whether this process, its supervisor, or one before it keeps an
                application.
        """
        self._path, self._workload, self._application = (
            workload.socket_path(state), workload, application,
        )  # fmt: skip
        self._taker: socket.socket | None = None
        self._until = 0.0
        self._hello: dict[str, Any] = {}
        self._listener: socket.socket | None = None
        try:
            self._listener = _given(given) or _listen(self._path)
        except OSError as error:
            _log.warning("this process cannot be taken over from: %s: %s", self._path, error)

    def turn(self, listeners: Callable[[], Iterable[Pair]]) -> dict[str, Any] | None:
        """Answers who asks; returns what it said of itself, once it accepts in our place."""
        if self._taker is None:
            self._accept(listeners)
        elif passing.is_readable(self._taker):
            return self._heard(self._taker)
        elif time.monotonic() > self._until:
            _log.warning("the process that asked for the sockets does not serve: it is not waited"
                         " for any longer")  # fmt: skip
            with suppress(Gone):
                passing.send(self._taker, {"gave_up": True})
            self._forget()
        return None

    def handed_over(self) -> None:
        """Says that we do not accept any more. The path is the other one's."""
        if self._taker is not None:
            with suppress(Gone):
                passing.send(self._taker, {"handed_over": True})
        self._forget()
        if self._listener is not None:
            self._listener.close()
        self._listener = None

    def listener(self) -> list[Pair]:
        """Returns our own socket, to be handed over; it stays open here."""
        return [(PURPOSE, self._listener.fileno())] if self._listener is not None else []

    def close(self) -> None:
        """Offers nothing any more."""
        if self._listener is not None:
            with suppress(OSError):
                os.unlink(self._path)
            self._listener.close()
        self._listener = None
        self._forget()

    def _accept(self, listeners: Callable[[], Iterable[Pair]]) -> None:
        if self._listener is None:
            return
        try:
            taker, _ = self._listener.accept()
        except OSError:
            return  # nobody is there
        taker.settimeout(MESSAGE_SECONDS)
        try:
            self._answer(taker, listeners)
        except Gone as error:
            _log.warning("somebody asked for the sockets and left: %s", error)
            taker.close()

    def _answer(self, taker: socket.socket, listeners: Callable[[], Iterable[Pair]]) -> None:
        # Who it is comes before what it says.
        why = None if user_of(taker) == os.geteuid() else "it belongs to another user"
        hello, extra = ({}, []) if why else passing.receive(taker)
        passing.close(extra)
        why = why or self._refusal(hello)
        answer = {
            "protocol": PROTOCOL,
            "version": "",
            "pid": os.getpid(),
            "application": self._application,
        }
        pairs: list[Pair] = []
        if not why:
            try:
                pairs = list(listeners())
            except NativeError:
                why = "its descriptors are used up: try again"
            else:
                why = None if pairs else "it is ending, start without --takeover when it has"
        try:
            if why:
                _log.warning("another process asked for the sockets and was refused: %s", why)
                passing.send(taker, {**answer, "refused": why})
                taker.close()
                return
            passing.send(taker, answer, [*pairs, *self.listener()])
        finally:
            passing.close(pairs)
        self._taker, self._hello = taker, hello
        self._until = time.monotonic() + SERVING_SECONDS

    def _refusal(self, hello: Mapping[str, Any]) -> str | None:
        if hello.get("protocol") != PROTOCOL:
            return (
                f"it speaks version {PROTOCOL} of the handover and you"
                f" {hello.get('protocol')}: end it and start the new one without --takeover"
            )
        if hello.get("workload") != asdict(self._workload):
            return f"it is the sidecar of {self._workload}"
        if self._application and hello.get("application"):
            return (
                "its application stays with it, and there would be two: start the new one"
                " without a command"
            )
        return None

    def _heard(self, taker: socket.socket) -> dict[str, Any] | None:
        try:
            message, extra = passing.receive(taker)
            passing.close(extra)
        except Gone:
            _log.warning("the process that asked for the sockets ended before it served:"
                         " this one goes on")  # fmt: skip
            self._forget()
            return None
        return self._hello if message.get("serving") is True else None

    def _forget(self) -> None:
        if self._taker is not None:
            self._taker.close()
        self._taker = None


def _given(listeners: Iterable[Pair]) -> socket.socket | None:
    """Returns the Unix socket among these, once more."""
    for purpose, descriptor in listeners:
        if purpose == PURPOSE:
            listener = socket.socket(fileno=os.dup(descriptor))
            listener.settimeout(0.0)
            return listener
    return None


def _listen(path: str) -> socket.socket:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    try:
        os.fchmod(listener.fileno(), 0o600)  # before it has a name
        with unix_address(path) as address:
            _check_free(address)
            with suppress(FileNotFoundError):
                os.unlink(path)
            listener.bind(address)
        listener.listen()
    except OSError:
        listener.close()
        raise
    listener.settimeout(0.0)
    return listener


def _check_free(address: str) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.settimeout(MESSAGE_SECONDS)
        if other.connect_ex(address) == 0:
            raise FileExistsError("another sidecar of this workload offers its sockets there")
