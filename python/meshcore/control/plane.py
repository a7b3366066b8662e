"""The process of a control plane, put together."""

import gc
import json
import logging
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Protocol

from meshcore.config import Source
from meshcore.config.resources import Settings
from meshcore.control import atomic, numbering
from meshcore.control.compilation import Compilation
from meshcore.control.distribute import Distribution, confirmed, is_empty
from meshcore.control.in_force import InForce
from meshcore.control.journal import Journal
from meshcore.control.lock import Lock
from meshcore.control.pages import Page, Pages, json_page
from meshcore.control.plane_report import PlaneReport
from meshcore.control.plane_settings import PlaneSettings
from meshcore.control.registry import registry
from meshcore.control.resources import SETTINGS
from meshcore.control.running import CONTROL_PLANE, Entry
from meshcore.errors import MeshcoreError, StartFailed
from meshcore.native import ControlOptions
from meshcore.sources.file import Files
from meshcore.sources.watch import Change, Pace, Watch

_log = logging.getLogger("meshcore")
# How documents are watched. A change waits until they were still, at most so long.
PACE = Pace(every_seconds=0.1, share=0.05, still_within_seconds=10.0)
_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Native(Protocol):
    """The server of resources and certificates."""

    def update(
        self, revision: int, changed: Sequence[tuple[str, bytes]], removed: Sequence[str]
    ) -> None:
        """Puts a change in force, or raises and leaves all as it was."""
        ...

    def addresses(self) -> Mapping[str, str | None]:
        """Returns where it listens, by purpose."""
        ...

    def status(self) -> Mapping[str, object]:
        """Returns what each sidecar has."""
        ...

    def metrics(self) -> bytes:
        """Returns its metrics in Prometheus' text format."""
        ...

    def stop(self) -> None:
        """Ends it."""
        ...


@dataclass(slots=True)
class Plane:
    """A running control plane."""

    settings: PlaneSettings
    distribution: Distribution
    report: PlaneReport
    watch: Watch
    native: Native
    pages: Pages
    lock: Lock

    @classmethod
    def start(cls, settings: PlaneSettings, begin: Callable[[ControlOptions], Native]) -> "Plane":
        """Starts it; it serves when this returns.

        What was in force before is handed out at once; `run` then looks what the documents say.

        Args:
            settings: What was asked for.
            begin: Starts the server with its options.

        Raises:
            ConfigError: The documents are refused, and nothing was in force before.
            StartFailed: A port or the state directory cannot be had.
        """
        lock = Lock.take(settings.state)
        started: list[Native] = []

        def begin_native(mesh: Settings) -> Native:
            started.append(begin(settings.options(mesh)))
            return started[0]

        try:
            watch = Watch([str(settings.mesh), str(settings.confirm_file)], pace=PACE)
            journal = Journal(settings.journal_file)
            report = PlaneReport(journal)
            distribution = _distribution(settings, begin_native)
            if _resume(distribution, journal):
                watch.ask()
            else:
                distribution.apply(report)
                _keep_documents()
            pages = _pages(settings, started[0], report, distribution)
        except BaseException:
            for native in started:
                native.stop()
            lock.close()
            raise
        return cls(settings, distribution, report, watch, started[0], pages, lock)

    def run(self) -> None:
        """Applies changes until SIGTERM or SIGINT; a second one ends it at once.

        Raises:
            StartFailed: The ready file cannot be written.
            KeyboardInterrupt: It was told twice to end.
        """
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._stop)
            signal.signal(signal.SIGHUP, self._read_now)
            self._register()
            self.distribution.distribute(self._changes(), self.report)
        finally:
            self.close()

    def close(self) -> None:
        """Ends it at once."""
        self.watch.close()
        self.pages.close()
        self.native.stop()
        Entry.of_this_process(str(self.settings.state)).remove()
        if self.settings.ready_file is not None:
            with suppress(OSError):
                self.settings.ready_file.unlink()
        self.lock.close()

    def addresses(self) -> dict[str, str | None]:
        """Returns where it listens, by purpose."""
        return {**self.native.addresses(), "monitoring": self.pages.address}

    def _changes(self) -> Iterator[Change]:
        told, is_first = self._trust(), True
        for change in self.watch.changes():
            yield change
            if is_first:
                _keep_documents()
                is_first = False
            if self._trust() != told:
                told = self._trust()
                _log.warning(
                    "the mesh has another trustDomain or trustDomainAliases: restart the control"
                    " plane to take them over"
                )

    def _trust(self) -> tuple[str, ...]:
        """Returns what the server was told at its start, and does not hear again."""
        settings: Settings = self.distribution.in_force.resources[SETTINGS]["settings"]
        return settings["trust_domain"], *settings["trust_domain_aliases"]

    def _register(self) -> None:
        """Tells others that it serves."""
        addresses = self.addresses()
        with suppress(OSError):  # `meshcore status` is then told where it is
            entry = Entry.of_this_process(str(self.settings.state))
            entry.write(CONTROL_PLANE, str(self.settings.mesh), addresses)
        if self.settings.ready_file is None:
            return
        ready = {"revision": self.distribution.in_force.revision, "addresses": addresses}
        try:
            atomic.write(str(self.settings.ready_file), json.dumps(ready).encode() + b"\n", 0o644)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise StartFailed(
                f"{self.settings.ready_file}: {why}, give a file in a directory that can be"
                " written as --ready-file"
            ) from error

    def _stop(self, number: int, frame: FrameType | None) -> None:
        del frame
        name = signal.Signals(number).name
        if self.watch.is_closed:
            _log.warning("%s again: ending at once", name)
            raise KeyboardInterrupt
        _log.info("%s: ending", name)
        self.watch.close()

    def _read_now(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.watch.ask()


def _keep_documents() -> None:
    """Takes what there is out of the garbage collection: documents stay, and are many."""
    gc.collect()
    gc.freeze()
    gc.enable()


def _distribution(settings: PlaneSettings, begin: Callable[[Settings], Native]) -> Distribution:
    files = Files([settings.mesh])

    def read() -> Sequence[Source]:
        sources = files.read()
        is_empty(sources, str(settings.mesh))
        return sources

    def confirm(in_force: InForce, wanted: Compilation) -> None:
        if not settings.allow_shrink:
            confirmed(in_force, wanted, settings.mesh, settings.state)

    return Distribution(begin, read, partial(numbering.number, settings.numbers_file), confirm)


def _resume(distribution: Distribution, journal: Journal) -> bool:
    """Hands out what was in force before; whether anything was."""
    kept = journal.read()
    if kept is None or SETTINGS not in kept.resources:
        return False
    try:
        distribution.resume(kept.revision, kept.resources)
    except StartFailed:
        raise
    except (MeshcoreError, KeyError, TypeError) as error:  # or of a version with other settings
        _log.warning("what was in force before cannot be used: %r", error)
        return False
    return True


def _pages(
    settings: PlaneSettings, native: Native, report: PlaneReport, distribution: Distribution
) -> Pages:
    def sync() -> object:
        own = {
            "version": settings.version,
            "mesh": str(settings.mesh),
            "revision": distribution.in_force.revision,
            **report.status(),
        }
        return {"control_plane": own, **native.status()}

    pages = {
        "/metrics": Page(_TEXT, lambda: native.metrics() + report.metrics()),
        "/version": json_page(lambda: {"version": settings.version}),
        "/ready": Page("text/plain", lambda: b"ready\n"),
        "/debug/syncz": json_page(sync, is_debug=True),
        "/debug/registryz": json_page(lambda: registry(distribution.in_force), is_debug=True),
    }
    port = settings.ports.monitoring
    return Pages(settings.address, port, pages, exposes_debug=settings.exposes_debug)
