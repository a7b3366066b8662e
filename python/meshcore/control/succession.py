"""The processes before and after this one, and the process above: who has the sockets when."""

import logging
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from meshcore.control import passing
from meshcore.control.offer import PURPOSE, Offer
from meshcore.control.passing import Gone, Pair
from meshcore.control.settings import Launch, Settings
from meshcore.control.takeover import Taken, Workload, take
from meshcore.native import Listener, Proxy

_log = logging.getLogger("meshcore")


class Succession:
    """What one process of a sidecar gets from the one before, and gives to the next one."""

    def __init__(self, launch: Launch, settings: Settings) -> None:
        self._launch, self._state = launch, settings.state
        self._application = bool(settings.command) or launch.application
        self._about = {
            "version": settings.version,
            "application": self._application,
            "ready_file": settings.ready_file,
        }
        self._taken: Taken | None = None
        self._given: list[Pair] | None = None
        self._workload: Workload | None = None
        self._offer: Offer | None = None
        self._supervisor = None
        if launch.supervisor is not None:
            self._supervisor = socket.socket(fileno=launch.supervisor)

    def before(self, workload: Workload) -> list[Listener]:
        """Returns the sockets to start with, of a process that died or still accepts.

        Raises:
            StartFailed: They are to be taken over, and cannot be.
        """
        self._workload = workload
        if self._given is None:
            self._given = list(self._launch.listeners)
            if self._launch.takeover:
                self._taken = take(self._state, workload, self._about)
                self._given = self._taken.listeners if self._taken else []
                self._application |= self._taken is not None and self._taken.application
        return [Listener(*pair) for pair in self._given if pair[0] != PURPOSE]

    def accepting(self, proxy: Proxy) -> bool:
        """Says that this process accepts; whether one before it stops doing so.

        Raises:
            NativeError: Descriptors are used up; the one before was told nothing, and goes on.
            StartFailed: The one before has waited for too long, and goes on.
        """
        listeners = proxy.listeners() if self._supervisor is not None else []
        if taken := self._taken:
            taken.serving()
            self._taken = None
        given, self._given = self._given or [], []
        if self._workload is not None:
            self._offer = Offer(self._state, self._workload, given, application=self._application)
        passing.close(given)
        if self._supervisor is not None:
            addresses = proxy.addresses()
            offered = self._offer.listener() if self._offer else []
            message = {
                "outbound": addresses["outbound"],
                "addresses": addresses,
                "application": self._application,
            }
            self._tell_supervisor(message, [*listeners, *offered])
            passing.close(listeners)
            if self._launch.redirects:
                self._wait_for_redirections()
        return taken is not None

    @property
    def is_second(self) -> bool:
        """Whether one before this process accepts, and was not told to stop."""
        return self._taken is not None

    def turn(self, proxy: Proxy) -> Mapping[str, Any] | None:
        """Answers the next process; returns what it said of itself when it accepts.

        This process then hands over, and says so with `handed_over`.
        """
        return self._offer.turn(proxy.listeners) if self._offer is not None else None

    def handed_over(self) -> None:
        """Says that this process accepts no more, and does not want to be started again."""
        self._tell_supervisor({"handed_over": True})
        if self._offer is not None:
            self._offer.handed_over()

    def is_orphaned(self) -> bool:
        """Whether there was a supervisor, and it is gone or has given this process up."""
        if self._supervisor is None:
            return False
        return passing.is_readable(self._supervisor) and self._supervisor.recv(1) == b""

    def close(self) -> None:
        """Offers nothing any more, and leaves what was to be taken over to the one before."""
        if self._taken is not None:
            self._taken.channel.close()
        passing.close(self._given or [])
        self._given = None
        if self._offer is not None:
            self._offer.close()

    def _wait_for_redirections(self) -> None:
        """Waits until connections come here. A supervisor that cannot see to it hangs up."""
        if self._supervisor is not None:
            with suppress(Gone):
                passing.receive(self._supervisor)

    def _tell_supervisor(
        self, message: Mapping[str, object], listeners: list[Pair] | None = None
    ) -> None:
        if self._supervisor is not None:
            with suppress(Gone):
                passing.send(self._supervisor, message, listeners or [])
