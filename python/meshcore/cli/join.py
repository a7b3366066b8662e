"""A sidecar that belongs to a control plane: puts its parts together, and keeps it going."""
# pathlib would take 1.3 MB beside the data plane.
# ruff: noqa: PTH118

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Thread
from types import FrameType
from typing import Any

from meshcore.cli.banner import banner
from meshcore.cli.serve import Sidecar, begin_with, run_to_end, say
from meshcore.control.compiler import Prepared
from meshcore.control.enrolled import Enrolled
from meshcore.control.joined import Claim, claim, described, head, probe, read_token
from meshcore.control.last_good import LastGood
from meshcore.control.node import node, who
from meshcore.control.plugins import Plugins
from meshcore.control.readiness import Readiness
from meshcore.control.renewal import Renewal
from meshcore.control.report import Report
from meshcore.control.settings import Joining, Launch, Settings
from meshcore.control.succession import Succession
from meshcore.errors import MeshcoreError, StartFailed
from meshcore.native import Materials
from meshcore.native_discovery import Discovery, DiscoveryOptions
from meshcore.native_identity import EnrolmentOptions
from meshcore.sources.watch import Watch
from meshcore.telemetry.scrape import exposition

_log = logging.getLogger("meshcore")

# How long the control plane is waited for when there is something else to begin with.
FIRST_SECONDS = 1.0
# How often it is looked whether the mesh trusts others.
TRUST_SECONDS = 1.0


def join(settings: Settings, launch: Launch) -> int:
    """Runs a sidecar with a control plane until it is told to end; returns the exit status."""
    return run_to_end(lambda: Joined.begin(settings, launch))


@dataclass(kw_only=True)
class Joined(Sidecar):
    """A running sidecar with a control plane."""

    discovery: Discovery
    enrolled: Enrolled | None = None
    """`None` where others make the certificates."""
    trust: Mapping[str, Any] | None = None
    """Whom the mesh trusts, as it was said last."""
    looks_at: float = 0.0
    told: str = ""
    """Why trust was not taken over the last time."""
    readiness: Readiness | None = None
    renewing: Thread | None = None

    @classmethod
    def begin(cls, settings: Settings, launch: Launch) -> "Joined":
        """Starts the data plane; it takes requests when this returns.

        Waits for the control plane, or begins with what it said in an earlier life.

        Raises:
            MeshcoreError: It cannot be started.
        """
        joining = settings.joining
        if joining is None:
            raise StartFailed("there is no control plane to join")
        watch = Watch([], settings.plugins)
        plugins = Plugins(settings.plugins, isolate=settings.isolate_plugins)
        hooks = plugins.load()
        succession = Succession(launch, settings)
        claimed = claim(settings, read_token(joining.token) if joining.token else None)
        enrolled = _enrol(settings, joining)
        # One before this process was called already, or had been found not to be ready.
        is_next = launch.takeover or bool(launch.listeners)
        discovery = _discover(settings, joining, described(settings, claimed, is_ready=is_next),
                              enrolled)  # fmt: skip
        source = _wait(discovery, joining)
        about = discovery.about()
        prepared = _prepared(settings, claimed, about, discovery)
        trust = discovery.trust()
        if enrolled is not None:
            enrolled.trusts(trust, prepared.head["trust_domain_aliases"])
        renewal = Renewal(enrolled) if enrolled is not None else None
        renewal, proxy = begin_with(settings, prepared, hooks, succession, renewal, discovery)
        plugins.took_over()
        proxy.on_scrape(exposition)
        last_good = LastGood(_file(settings))
        report = Report(proxy, last_good)
        report.revision = prepared.revision
        sidecar = cls(
            settings, proxy, renewal, watch, plugins, report, last_good, succession,
            discovery=discovery, enrolled=enrolled, trust=trust,
        )  # fmt: skip
        sidecar._listen_to_signals()
        sidecar._look_at_application(claimed, about, is_next=is_next)
        sidecar._tell_notices()
        say(banner(settings, prepared, proxy.addresses(), is_last_good=source == "disk"))
        return sidecar

    def run(self) -> int:
        """Keeps it going until it has ended; returns the exit status."""
        self._leave_old_root()
        try:
            return super().run()
        finally:
            if self.readiness is not None:
                self.readiness.close()
            self.discovery.stop()

    def _look_at_application(
        self, claimed: Claim, about: Mapping[str, Any], *, is_next: bool
    ) -> None:
        own = who(self.settings, head(self.settings, claimed, about))
        if not claimed.serves or not own["ports"]:
            return
        host, port = own["address"], own["ports"][0]
        if self.settings.application is not None:
            text, _, number = self.settings.application.rpartition(":")
            host, port = text.strip("[]"), int(number)
        asked = probe(self.settings, about)
        self.readiness = Readiness(asked, host, port, self.discovery.tell, is_ready=is_next)
        Thread(target=self.readiness.run, name="meshcore-readiness", daemon=True).start()

    def _reconcile(self) -> None:
        """Applies changes of plugins; those of the mesh come by themselves."""
        for change in self.watch.changes():
            if not (change.plugins or self.plugins.are_owed):
                continue
            try:
                self.proxy.change_hooks(self.plugins.load(), self.discovery)
            except MeshcoreError as error:
                if not self.watch.is_closed:
                    self.report.rejected(error)
            else:
                self.plugins.took_over()
                _log.info("plugins changed")

    def _renew(self) -> None:
        """Renews on a thread of its own: the control plane may take its time."""
        if self.renewing is not None and self.renewing.is_alive():
            return
        if self._trusts_others():
            self._leave_old_root()
        if self.renewal.is_due():
            self.renewing = Thread(target=self.renewal.renew, args=(self._rotate,), daemon=True)
            self.renewing.start()

    def _leave_old_root(self) -> None:
        """Makes a certificate due if the one there is, is not of the root that signs now."""
        if self.enrolled is None or self.trust is None:
            return
        if not self.enrolled.credentials.is_of_root(self.trust["signer"]):
            self.renewal.hasten()

    def _trusts_others(self) -> bool:
        """Takes over whom the mesh trusts; whether that was others before."""
        now = time.monotonic()
        if self.enrolled is None or self.has_heir or now < self.looks_at:
            return False
        self.looks_at = now + TRUST_SECONDS
        try:
            trust = self.discovery.trust()
            if trust is None or trust == self.trust:
                return False
            self.enrolled.trusts(trust)
            self._rotate(self.enrolled.materials())
        except MeshcoreError as error:
            if str(error) != self.told:
                _log.error("the trust of the mesh cannot be taken over: %s", error)
            self.told = str(error)
            return False
        self.trust, self.told = trust, ""
        _log.info("the trust of the mesh has changed")
        return True

    def _rotate(self, materials: Materials) -> None:
        self.discovery.rotate(materials)
        self.proxy.rotate(materials)

    def _tell_notices(self) -> None:
        super()._tell_notices()
        _log_notices(self.discovery)

    def _hand_over(self, heir: Mapping[str, Any]) -> None:
        super()._hand_over(heir)
        # The heir stands behind the service by now, and has the say.
        if self.readiness is not None:
            self.readiness.close()
        self.discovery.stop()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if not (self.stops or self.has_heir):
            self.discovery.leave()  # before the drain: nobody is to be sent here any more
        super()._stop(number, frame)


def _file(settings: Settings) -> str:
    return os.path.join(settings.state, "last-good", f"{settings.key}.json")


def _enrol(settings: Settings, joining: Joining) -> Enrolled | None:
    """Gets a certificate, unless somebody else makes them."""
    if settings.files is not None:
        if not joining.is_plain:
            raise StartFailed(
                "--cert, --key and --ca do not prove to the control plane who this is: say --token"
                " (see meshcore token create), or --control http://HOST:PORT on this host"
            )
        return None
    if joining.token is None:
        raise StartFailed("--control needs a --token, see meshcore token create")
    options = EnrolmentOptions(
        joining.address, read_token(joining.token), plain=joining.is_plain,
        ttl_seconds=settings.certificate_ttl_seconds,
    )  # fmt: skip
    return Enrolled(options, os.path.join(settings.state, "identity", f"{settings.key}.json"))


def _discover(
    settings: Settings,
    joining: Joining,
    described_node: Mapping[str, object],
    enrolled: Enrolled | None,
) -> Discovery:
    is_secure = enrolled is not None and not joining.is_plain
    materials = enrolled.materials() if enrolled is not None and is_secure else None
    return Discovery(
        DiscoveryOptions(
            address=joining.address,
            is_plain=joining.is_plain,
            node=described_node,
            control=enrolled.control if enrolled is not None and is_secure else None,
            token=joining.token,
            is_gateway=settings.wanted.is_gateway,
            access_log=_access_log(settings.access_log),
            wait_ms=joining.wait_ms,
            unused_ms=joining.unused_ms,
            file=_file(settings),
        ),
        materials,
    )


def _access_log(wanted: str | None) -> Mapping[str, object] | None:
    match wanted:
        case None:
            return None
        case "json":
            return {"path": "/dev/stdout", "format": "json"}
        case "text":
            return {"path": "/dev/stdout", "format": {"text": None}}
        case path:
            return {"path": path, "format": {"text": None}}


def _wait(discovery: Discovery, joining: Joining) -> str:
    """Waits until there is something to begin with; returns where it comes from."""
    while (source := discovery.first(FIRST_SECONDS)) is None:
        _log_notices(discovery)
    _log_notices(discovery)
    if source == "disk":
        _log.warning(
            "NO CONTROL PLANE at %s. Starting with the last good state, revision %s",
            joining.address, discovery.status()["revision"],
        )  # fmt: skip
    return source


def _log_notices(discovery: Discovery) -> None:
    for notice in discovery.take_notices():
        _log.log(logging.WARNING if notice.is_bad else logging.INFO, "%s", notice.text)


def _prepared(
    settings: Settings, claimed: Claim, about: Mapping[str, Any], discovery: Discovery
) -> Prepared:
    found = head(settings, claimed, about)
    described_node = node(settings, found, who(settings, found))
    return Prepared(b"", found, discovery.try_out(described_node))
