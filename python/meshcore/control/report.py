"""Says how changes fared: in the log, on the admin port, and on disk."""

import logging
import time
from typing import TYPE_CHECKING

from meshcore.control.compiler import Prepared, Refused
from meshcore.control.last_good import LastGood
from meshcore.errors import (
    ConfigError,
    MeshcoreError,
    PluginError,
    SnapshotRejected,
    StaleRevision,
)
from meshcore.native import Proxy
from meshcore.sources.watch import Change

if TYPE_CHECKING:
    from meshcore.control.prepare import Head
    from meshcore.control.workload import Own

_log = logging.getLogger("meshcore")
# A trust domain and its aliases.
_Trust = tuple[str, ...]


class Report:
    """Hears how changes fared, and knows what is in force."""

    def __init__(self, proxy: Proxy, last_good: LastGood) -> None:
        self._proxy = proxy
        self._last_good = last_good
        self._own: Own | None = None
        self._trust: _Trust | None = None
        self._last_trust: _Trust | None = None
        self._began = time.monotonic()
        self._tells_disk = True
        self.revision = 0

    def started(self, prepared: Prepared, refused: Refused | None) -> None:
        """The sidecar started, with the last good state if `refused`."""
        self.revision = prepared.revision
        self._own = prepared.head["own"]
        self._trust = self._last_trust = _trust(prepared.head)
        if refused is None:
            self._keep(prepared)
            _warn(prepared)
        else:
            self._proxy.rejected(refused.revision, str(refused))

    def began(self, change: Change) -> None:
        """A change was noticed."""
        self._began = time.monotonic()
        _log.debug("changed: %s", change)

    def applied(self, prepared: Prepared) -> None:
        """A change is in force."""
        self.revision = prepared.revision
        self._keep(prepared)
        took_ms = round((time.monotonic() - self._began) * 1000)
        what = ", ".join(prepared.head["changes"]) or "same documents"
        _log.info("applied revision %d in %d ms: %s", prepared.revision, took_ms, what)
        _warn(prepared)
        self._compare(prepared)

    def same(self) -> None:
        """Files changed, and say what they said before."""
        _log.debug("revision %d again", self.revision)

    def rejected(self, error: MeshcoreError) -> None:
        """A change was refused."""
        revision = error.revision if isinstance(error, Refused) else self.revision + 1
        if not isinstance(error, SnapshotRejected | StaleRevision):  # those are known there
            self._proxy.rejected(revision, str(error))
        kind = "plugins" if isinstance(error, PluginError) else f"revision {revision}"
        if isinstance(error, ConfigError):
            what = f"{kind} refused, revision {self.revision} stays in force:\n{error}"
        else:
            what = f"{kind} refused, revision {self.revision} stays in force: {error}"
        _log.error("%s", what)

    def _keep(self, prepared: Prepared) -> None:
        try:
            self._last_good.write(prepared.answer)
        except OSError as error:
            if self._tells_disk:
                _log.warning("last good state cannot be kept: %s", error)
            self._tells_disk = False
        else:
            self._tells_disk = True

    def _compare(self, prepared: Prepared) -> None:
        """Says when the mesh has another idea of the sidecar's own workload, or of trust."""
        own = prepared.head["own"]
        if own is None:
            _log.warning("%s; the sidecar goes on as it was", prepared.head["own_missing"])
        elif self._own is not None and own != self._own:
            names = sorted(key for key, value in own.items() if value != self._own.get(key))
            _log.warning(
                "the mesh has other %s for %s: restart the sidecar to take them over",
                " and ".join(names), own["name"],
            )  # fmt: skip
        self._own = own or self._own
        trust = _trust(prepared.head)
        if trust not in {self._trust, self._last_trust}:
            _log.warning(
                "the mesh has another trustDomain or trustDomainAliases: restart the sidecar to"
                " take them over, its certificate is as it was"
            )
        self._last_trust = trust


def _trust(head: "Head") -> _Trust:
    return head["trust_domain"], *head["trust_domain_aliases"]


def _warn(prepared: Prepared) -> None:
    for finding in prepared.diagnostics:
        _log.warning("%s", finding.render())
