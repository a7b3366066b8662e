"""What a supervisor has redirected to its sidecar. It imports little, as all that stays above."""

import json
import os
import sys

TYPE_CHECKING = False  # as type checkers know it; `typing` would take memory in each process
if TYPE_CHECKING:
    from typing import Any


class Redirected:
    """Redirections to one sidecar, made by short-lived processes."""

    def __init__(self, intercept: "dict[str, Any] | None") -> None:
        """Redirects nothing yet.

        Args:
            intercept: `user` and group of the sidecar, `backend`, and `capture` without the ports
                of the sidecar; `None` redirects nothing, ever.
        """
        self._intercept = intercept
        self._in_force: dict[str, Any] | None = None

    @property
    def user(self) -> tuple[int, int] | None:
        """User and group that the sidecar has to run as, if it matters."""
        if self._intercept is None:
            return None
        uid, gid = self._intercept["user"]
        return uid, gid

    def apply(self, addresses: "dict[str, str | None]") -> bool:
        """Redirects to a sidecar that listens at `addresses`; `False` when that cannot be done."""
        if self._intercept is None:
            return True
        ports = {
            name: int(address.rpartition(":")[2]) for name, address in addresses.items() if address
        }
        own = [ports[name] for name in ("hbone", "health", "metrics") if name in ports]
        capture: dict[str, Any] = {
            **self._intercept["capture"],
            "outbound_port": ports["outbound"],
            "inbound_port": ports.get("inbound"),
            "dns_port": ports.get("dns"),
        }
        capture["own_ports"] = sorted({*capture["own_ports"], *own})
        if capture == self._in_force:
            return True  # another process of the sidecar, at the same sockets
        wanted = {"backend": self._intercept["backend"], "capture": capture}
        before, self._in_force = self._in_force, capture  # perhaps, from now on
        if _run("apply", json.dumps(wanted)) != 0:
            self._in_force = before
            return False
        return True

    @property
    def is_in_force(self) -> bool:
        """Whether connections are redirected, as far as is known."""
        return self._in_force is not None

    def clear(self) -> bool:
        """Redirects nothing any more; `False` when that cannot be done."""
        if self._in_force is not None and _run("clear") == 0:
            self._in_force = None
        return self._in_force is None


def _run(*arguments: str) -> int:
    command = [sys.executable, "-P", "-m", "meshcore.cli.redirecting", *arguments]
    environment = os.environ  # noqa: TID251 - handed on
    # A group of its own: a second Ctrl-C must not leave the host redirected to nobody.
    pid = os.posix_spawn(sys.executable, command, environment, setpgroup=0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
