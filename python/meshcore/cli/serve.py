"""Puts the parts of a sidecar together, and keeps it going until it has ended."""
# pathlib would take 1.3 MB beside the data plane.
# ruff: noqa: PTH108, PTH118

import errno
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from types import FrameType
from typing import TYPE_CHECKING, Any

from meshcore.cli.banner import banner
from meshcore.cli.exits import Exit
from meshcore.control import atomic
from meshcore.control.application import FORWARDED, Application
from meshcore.control.compiler import Child, Prepared
from meshcore.control.first import first, in_force
from meshcore.control.last_good import LastGood
from meshcore.control.node import identity, node, who
from meshcore.control.plugins import Plugins
from meshcore.control.reconcile import reconcile
from meshcore.control.renewal import Given, Issuer, Renewal
from meshcore.control.report import Report
from meshcore.control.running import Entry
from meshcore.control.settings import Launch, Settings
from meshcore.control.succession import Succession
from meshcore.control.takeover import NobodyRuns, Workload
from meshcore.errors import ConfigError, MeshcoreError, PluginRejected, StartFailed
from meshcore.native import Options, Proxy
from meshcore.plugin.registry import Registered
from meshcore.sources.watch import Change, Watch
from meshcore.telemetry.scrape import exposition

if TYPE_CHECKING:
    from meshcore.native_discovery import Discovery

_log = logging.getLogger("meshcore")

# How often certificates and the application are looked after.
TURN_SECONDS = 0.25


def serve(settings: Settings, launch: Launch, child: Child | None) -> int:
    """Runs a sidecar until it is told to end; returns the exit status.

    Without a child that compiles the documents it begins with what was in force before, and looks
    at the documents then.
    """
    return run_to_end(lambda: Sidecar.start(settings, launch, child))


def run_to_end(start: "Callable[[], Sidecar]") -> int:
    """Starts a sidecar and runs it until it ends; returns the exit status."""
    try:
        return start().run()
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except Unusable as error:
        say(str(error))
        return error.status
    except (ConfigError, PluginRejected) as error:
        say(str(error))
        return Exit.BAD_DATA
    except MeshcoreError as error:
        say(f"error: {error}")
        if os.strerror(errno.EADDRINUSE) in str(error):
            say("another sidecar or program listens there: end it, or see --address and --*-port")
        return Exit.NOT_FOUND if isinstance(error, NobodyRuns) else Exit.FAILED


class Unusable(MeshcoreError):
    """The mesh has no workload for this sidecar, or several."""

    def __init__(self, why: str, status: Exit) -> None:
        self.status = status
        super().__init__(f"error: {why}")


@dataclass
class Sidecar:
    """A running sidecar."""

    settings: Settings
    proxy: Proxy
    renewal: Renewal
    watch: Watch
    plugins: Plugins
    report: Report
    last_good: LastGood
    succession: Succession
    application: Application | None = None
    stops: int = 0
    """How often it was told to end."""
    has_heir: bool = False
    """Whether another process has taken over from it."""

    @classmethod
    def start(cls, settings: Settings, launch: Launch, child: Child | None) -> "Sidecar":
        """Starts the data plane; it takes requests when this returns."""
        paths = [settings.mesh, settings.confirm_file]
        watch = Watch(paths, settings.plugins)  # first, so that no later edit is missed
        last_good = LastGood(os.path.join(settings.state, "last-good", f"{settings.key}.json"))
        plugins = Plugins(settings.plugins, isolate=settings.isolate_plugins)
        hooks = plugins.load()
        succession = Succession(launch, settings)

        def begin(prepared: Prepared) -> tuple[Renewal, Proxy]:
            return begin_with(settings, prepared, hooks, succession)

        def prepare() -> Prepared:
            if child is None and (before := in_force(last_good)) is not None:
                watch.ask()  # the documents may say something else by now
                return before
            return (child or Child(settings)).prepared()

        (renewal, proxy), prepared, refused = first(prepare, last_good, begin)
        plugins.took_over()
        proxy.on_scrape(exposition)
        report = Report(proxy, last_good)
        sidecar = cls(settings, proxy, renewal, watch, plugins, report, last_good, succession)
        sidecar._listen_to_signals()
        report.started(prepared, refused)
        say(banner(settings, prepared, proxy.addresses(), is_last_good=refused is not None))
        return sidecar

    def run(self) -> int:
        """Keeps it going until it has ended; returns the exit status."""
        thread = Thread(target=self._reconcile, name="meshcore-change", daemon=True)
        thread.start()
        try:
            self._start_application()
            if self.stops:
                self.succession.close()  # the one before this process goes on
            else:
                took_over = self.succession.accepting(self.proxy)
                self._register()
                self._write_ready_file(must=not took_over)
            return self._turns()
        finally:
            self.watch.close()
            self._stop_application()  # or what it left
            self.proxy.stop()
            self.succession.close()
            if not (self.has_heir or self.succession.is_second):
                self._remove_ready_file()
            Entry.of_this_process(self.settings.state).remove()

    def _turns(self) -> int:
        while not self._is_over():
            self._renew()
            if (heir := self.succession.turn(self.proxy)) is not None:
                self._hand_over(heir)
            if self.succession.is_orphaned():
                _log.info("the supervisor wants no sidecar any more: ending at once")
                return Exit.OK
            self._tell_notices()
            status = self.application.status() if self.application is not None else None
            if status is not None and self.stops <= 1:
                _log.info("the application ended with status %d", status)
                return status
        status = self._stop_application()
        return status if self.stops <= 1 else Exit.INTERRUPTED

    def _renew(self) -> None:
        self.renewal.turn(self.proxy.rotate)

    def _tell_notices(self) -> None:
        for notice in self.proxy.take_notices():
            _log.warning("%s", notice)

    def _is_over(self) -> bool:
        """Waits for a turn; whether nothing is left to look after."""
        if not self.proxy.wait(TURN_SECONDS):
            return False
        if not self.has_heir or self.application is None or self.stops:
            return True
        time.sleep(TURN_SECONDS)  # the application is ours, whoever carries its requests
        return False

    def _hand_over(self, heir: Mapping[str, Any]) -> None:
        """Leaves everything but the application to a process that accepts in our place."""
        _log.info("another process has taken over: draining, at most %d s",
                  self.settings.drain_ms // 1000)  # fmt: skip
        self.has_heir = True
        self.watch.close()
        Entry.of_this_process(self.settings.state).remove()
        if heir.get("ready_file") != self.settings.ready_file:
            self._remove_ready_file()
        self.proxy.hand_over()
        self.succession.handed_over()

    def _stop_application(self) -> int:
        """Stops it with all that it started; returns its exit status."""
        if self.application is None:
            return Exit.OK
        return self.application.stop() if self.stops <= 1 else self.application.stop(0)

    def _reconcile(self) -> None:
        """Applies changes until the watch is closed. A fault of ours ends one change, not all."""
        while not self.watch.is_closed:
            try:
                changes = self.watch.changes()
                reconcile(changes, self._prepare, self.plugins, self.proxy, self.report)
            except Exception:  # noqa: BLE001 - what is in force must stay changeable
                if not self.watch.is_closed:  # else the data plane ended under the change
                    _log.exception("a change failed by a fault of meshcore, please report it")
                    time.sleep(TURN_SECONDS)

    def _prepare(self, change: Change) -> Prepared:
        in_force = self.last_good.path if self.last_good.exists else None
        child = Child(self.settings, self.report.revision, in_force, is_new=change.plugins)
        return child.prepared()

    def _start_application(self) -> None:
        if not self.settings.command:
            return
        extra: dict[str, str] = {}
        if (address := self.proxy.addresses().get("outbound")) is not None:
            outbound = f"http://{address}"
            extra = {"MESHCORE_OUTBOUND": outbound}
            if self.settings.set_http_proxy:
                extra |= {"http_proxy": outbound, "HTTP_PROXY": outbound}
        self.application = Application(self.settings.command, extra)

    def _listen_to_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, self._reload)
        for number in FORWARDED:
            signal.signal(number, self._forward)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.stops += 1
        name = signal.Signals(number).name
        if self.stops == 1:
            _log.info("%s: draining, at most %d s", name, self.settings.drain_ms // 1000)
            self.proxy.drain()
        else:
            _log.warning("%s again: ending at once", name)
            if self.application is not None:
                self.application.kill()
            self.proxy.stop()

    def _reload(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.watch.ask()
        self.proxy.reopen_logs()

    def _forward(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.application is not None:
            self.application.send(number)

    def _register(self) -> None:
        with suppress(OSError):  # others then find it by its address
            name = self.renewal.materials.identity
            entry = Entry.of_this_process(self.settings.state)
            entry.write(name, self.settings.mesh, self.proxy.addresses())

    def _write_ready_file(self, *, must: bool) -> None:
        """Tells that requests are taken; if it `must` and cannot, the sidecar ends."""
        if self.settings.ready_file is None:
            return
        ready = {
            "pid": os.getpid(),
            "revision": self.report.revision,
            "addresses": self.proxy.addresses(),
        }
        try:
            atomic.write(self.settings.ready_file, json.dumps(ready).encode() + b"\n", 0o644)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            what = (
                f"{self.settings.ready_file}: {why}, give a file in a directory that can be"
                " written as --ready-file"
            )
            if must:
                raise StartFailed(what) from error
            _log.error("%s", what)  # nobody else would carry the requests

    def _remove_ready_file(self) -> None:
        if self.settings.ready_file is not None:
            with suppress(OSError):
                os.unlink(self.settings.ready_file)


def begin_with(  # noqa: PLR0913, PLR0917 - each is a part of its own, given once
    settings: Settings,
    prepared: Prepared,
    hooks: Iterable[Registered],
    succession: Succession,
    renewal: Renewal | None = None,
    discovery: "Discovery | None" = None,
) -> tuple[Renewal, Proxy]:
    """Gets a certificate, if there is none yet, and starts the data plane.

    Raises:
        Unusable: The mesh has no workload for this sidecar, or several.
        MeshcoreError: It cannot be started.
    """
    head = prepared.head
    if head["own"] is None:
        status = Exit.USAGE if head["own_is_ambiguous"] else Exit.NOT_FOUND
        raise Unusable(head["own_missing"], status)
    own = who(settings, head)
    described = node(settings, head, own)
    renewal = renewal or Renewal(_issuer(settings, prepared))
    options = Options(settings.workers, settings.drain_ms, settings.version)
    workload = Workload(settings.mesh, settings.wanted.namespace, own["name"], own["address"])
    listeners = succession.before(workload)  # last, so that who is asked waits for little
    proxy = Proxy(prepared.mesh, described, options, hooks, renewal.materials, listeners, discovery)
    return renewal, proxy


def _issuer(settings: Settings, prepared: Prepared) -> Issuer | Given:
    head = prepared.head
    domain, aliases = head["trust_domain"], tuple(head["trust_domain_aliases"])
    if settings.files is not None:
        return Given(settings.files, domain, aliases)
    own = identity(settings, head, who(settings, head))
    directory = os.path.join(settings.state, "ca")
    return Issuer(directory, own, domain, aliases, settings.certificate_ttl_seconds)


def say(text: str) -> None:
    """Writes lines for whoever started the sidecar."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
