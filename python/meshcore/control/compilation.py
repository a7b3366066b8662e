"""Documents to resources, change after change: what no change concerns is not looked at again.

The answer is that of `config.compile_mesh`, whose steps these are; only what is remembered between
changes is added. A source is parsed again when its text differs, a document is compiled again when
its source was parsed, and checked again when something it asked for is answered otherwise. The one
difference: hints at what was probably meant are bounded for each change, not for all documents.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import is_

from meshcore.config.check import check_document, replaced
from meshcore.config.check.world import Key, World
from meshcore.config.compile import auto_address, compile_alone, empty, one_service
from meshcore.config.compile.mesh_config import settings_of
from meshcore.config.compose import MAX_NODES, Budget
from meshcore.config.document import Document
from meshcore.config.findings import Findings
from meshcore.config.models.base import Model
from meshcore.config.models.mesh_config import MeshConfig
from meshcore.config.parse import Read, read_expanded, read_source, settings_rank
from meshcore.config.resources import Mesh, Service, Settings
from meshcore.config.result import compile_mesh
from meshcore.config.short_form import Placed, place
from meshcore.config.source import Source
from meshcore.control.resources import Resource, named, service_name, settings
from meshcore.errors import Diagnostic

# Documents of the short form come after all others.
_EXPANDED_RANK = 3

_Title = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is to say about the documents, as `config.Result` has it."""

    diagnostics: tuple[Diagnostic, ...]
    is_refused: bool


@dataclass(slots=True, eq=False)
class _Held:
    """A document, with what became of it if it is the one of its name that counts."""

    document: Document[Model]
    rank: int
    index: tuple[int, int]
    """Where it stands in its source."""
    made: Mesh | None = None
    """What it became, without its services."""
    hosts: tuple[str, ...] = ()
    """Hosts that it makes services of."""
    findings: tuple[Diagnostic, ...] = ()
    asked: set[Key] = field(default_factory=set[Key])


@dataclass(slots=True)
class _File:
    """A source that was parsed."""

    source: Source
    read: Read
    held: list[_Held]
    configs: list[Document[Model]]


@dataclass(slots=True)
class _Expanded:
    """A service in the short form that was expanded."""

    placed: Placed
    names: tuple[str, str]
    """Domain and trust domain, which its documents have in them."""
    held: list[_Held]
    findings: Findings

    def is_of(self, placed: Placed, names: tuple[str, str]) -> bool:
        return self.placed.workloads == placed.workloads and self.names == names


class Compilation:
    """The documents of a mesh as they are now."""

    def __init__(self) -> None:
        self.resources: dict[str, Resource] = {}
        """What the documents became, by name; also when something in them is refused."""
        self._touched: set[str] = set()
        self._clear()

    def _clear(self) -> None:
        self._files: dict[str, _File] = {}
        self._order: dict[str, int] = {}
        self._expanded: dict[int, _Expanded] = {}
        self._titles: dict[_Title, list[_Held]] = {}
        self._doubled: set[_Title] = set()
        self._askers: dict[Key, set[_Held]] = {}
        self._remarked: set[_Held] = set()
        self._use(MeshConfig(), ())

    def _use(self, config: MeshConfig, configs: Sequence[Document[Model]]) -> None:
        """Begins an empty mesh with these settings."""
        self._config = config
        self._world = World(settings_of(config), configs, is_whole=True)
        self._speakers: dict[str, dict[_Held, list[Service]]] = {}
        self._services: dict[str, list[Service]] = {}
        self._spoken_of: set[str] = set()
        self._touched.update(self.resources)
        self.resources.clear()
        self._put(*settings(self._world.settings))

    def take_touched(self) -> set[str]:
        """Returns the names of resources that came, went or may be others since the last call."""
        touched, self._touched = self._touched, set()
        return touched

    def take(self, sources: Sequence[Source]) -> Outcome:
        """Makes `sources` what is compiled; returns what is to say about them. Never raises."""
        if self._are_reordered(sources):
            self._clear()
        gone, come = self._read(sources)
        if sum(file.read.nodes for file in self._files.values()) > MAX_NODES:
            self._clear()
            result = compile_mesh(sources, 0)
            return Outcome(result.diagnostics, is_refused=result.mesh is None)
        found = Findings()
        for file in self._files.values():
            found += file.read.diagnostics
        keys: set[Key] = set()
        dirty = self._take_settings()
        self._expand(found, gone, come)
        dirty |= self._replace(gone, come, keys)
        dirty = {held for held in dirty if self._counts(held)}
        self._make(dirty, keys)
        keys.update(self._world.begin(is_whole=not found.is_refused))
        self._check(dirty, keys)
        return self._outcome(found)

    def _are_reordered(self, sources: Sequence[Source]) -> bool:
        names = {source.name for source in sources}
        kept = [name for name in self._order if name in names]
        return kept != [source.name for source in sources if source.name in self._order]

    def _read(self, sources: Sequence[Source]) -> tuple[list[_Held], list[_Held]]:
        """Parses what differs; returns the documents that are gone, and those that came."""
        before, self._files = self._files, {}
        self._order = {source.name: index for index, source in enumerate(sources)}
        gone: list[_Held] = []
        come: list[_Held] = []
        for source in sources:
            file = before.pop(source.name, None)
            if file is None or not _is_same(file.source, source):
                gone += file.held if file is not None else ()
                file = _read_file(source)
                come += file.held
            self._files[source.name] = file
        gone += (held for file in before.values() for held in file.held)
        return gone, come

    def _take_settings(self) -> set[_Held]:
        """Returns the documents that are to be compiled again, because the settings are others."""
        written = [config for file in self._files.values() for config in file.configs]
        configs = sorted(written, key=settings_rank)
        known = self._world.configs
        if len(configs) == len(known) and all(map(is_, configs, known)):
            return set()
        last = configs[-1].spec if configs else None
        self._use(last if isinstance(last, MeshConfig) else MeshConfig(), configs)
        dirty: set[_Held] = set()
        for several in self._titles.values():
            several[-1].made, several[-1].hosts = None, ()
            dirty.add(several[-1])
        return dirty

    def _expand(self, found: Findings, gone: list[_Held], come: list[_Held]) -> None:
        """Expands the short form; what differs is added to `gone` and `come`."""
        services = [service for file in self._files.values() for service in file.read.services]
        names = (self._config.domain, self._config.trust_domain)
        before, self._expanded = self._expanded, {}
        for number, placed in enumerate(place(services, found)):
            key = id(placed.service)
            expanded = before.pop(key, None)
            if expanded is None or not expanded.is_of(placed, names):
                gone += expanded.held if expanded is not None else ()
                expanded = _expanded(placed, self._config, names)
                come += expanded.held
            for index, held in enumerate(expanded.held):
                held.index = (number, index)
            found += expanded.findings
            self._expanded[key] = expanded
        gone += (held for expanded in before.values() for held in expanded.held)

    def _replace(self, gone: Iterable[_Held], come: Iterable[_Held], keys: set[Key]) -> set[_Held]:
        """Lets documents go and come; returns those that count from now on and did not before."""
        titles: set[_Title] = set()
        for held in gone:
            title = _title(held)
            self._titles[title].remove(held)
            self._unmake(held, keys)
            titles.add(title)
        for held in come:
            self._titles.setdefault(_title(held), []).append(held)
            titles.add(_title(held))
        settled = (self._settle(title, keys) for title in titles)
        return {held for held in settled if held is not None}

    def _settle(self, title: _Title, keys: set[Key]) -> _Held | None:
        """Decides which document of a name counts: the last. Returns it if it did not before."""
        several = self._titles[title]
        self._doubled.discard(title)
        if not several:
            del self._titles[title]
            return None
        if len(several) > 1:
            self._doubled.add(title)
            several.sort(key=self._position)
            for held in several[:-1]:
                self._unmake(held, keys)
        return several[-1] if several[-1].made is None else None

    def _unmake(self, held: _Held, keys: set[Key]) -> None:
        self._forget(held)
        made, held.made = held.made, None
        if made is None:
            return
        keys.update(self._world.remove(made))
        for name, _ in named(made):
            self._drop(name)
        for host in held.hosts:
            del self._speakers[host][held]
        self._spoken_of.update(held.hosts)
        held.hosts = ()

    def _make(self, dirty: Iterable[_Held], keys: set[Key]) -> None:
        for held in dirty:
            made = compile_alone(held.document, self._world.settings)
            services, made["services"] = made["services"], []
            held.made = made
            keys.update(self._world.add(made))
            for name, resource in named(made):
                self._put(name, resource)
            for service in services:
                self._speakers.setdefault(service["host"], {}).setdefault(held, []).append(service)
            held.hosts = tuple(dict.fromkeys(service["host"] for service in services))
            self._spoken_of.update(held.hosts)
        if self._spoken_of:
            for host in self._spoken_of:
                self._merge(host, keys)
            self._spoken_of.clear()
            self._settle_addresses()

    def _merge(self, host: str, keys: set[Key]) -> None:
        """Makes the services of a host what all say of it who speak for it."""
        for service in self._services.pop(host, ()):
            keys.update(self._world.remove(_mesh_of(service, self._world.settings)))
            self._drop(service_name(service))
        speakers = self._speakers[host]
        if not speakers:
            del self._speakers[host]
            return
        said = [s for held in sorted(speakers, key=self._position) for s in speakers[held]]
        self._services[host] = one_service(said)
        for service in self._services[host]:
            keys.update(self._world.add(_mesh_of(service, self._world.settings)))
            self._put(service_name(service), {"service": service})

    def _settle_addresses(self) -> None:
        """Gives each service the addresses of its own that others leave to it."""
        services = [service for several in self._services.values() for service in several]
        self._touched.update(map(service_name, auto_address.settle(services)))

    def _put(self, name: str, resource: Resource) -> None:
        self.resources[name] = resource
        self._touched.add(name)

    def _drop(self, name: str) -> None:
        self.resources.pop(name, None)
        self._touched.add(name)

    def _check(self, dirty: set[_Held], keys: Iterable[Key]) -> None:
        """Checks the documents that were compiled, and those that asked for one of `keys`."""
        asked = {held for key in keys for held in self._askers.get(key, ())}
        for held in sorted(dirty | asked, key=self._position):
            self._forget(held)
            held.findings = tuple(check_document(held.document, self._world))
            held.asked = self._world.take_asked()
            for key in held.asked:
                self._askers.setdefault(key, set()).add(held)
            if held.findings:
                self._remarked.add(held)

    def _forget(self, held: _Held) -> None:
        """Forgets what was said of a document, and what it asked for."""
        for key in held.asked:
            askers = self._askers[key]
            askers.discard(held)
            if not askers:
                del self._askers[key]
        held.asked, held.findings = set(), ()
        self._remarked.discard(held)

    def _outcome(self, found: Findings) -> Outcome:
        for title in self._doubled:
            found += replaced([held.document for held in self._titles[title]])
        for held in sorted(self._remarked, key=self._position):
            found += held.findings
        found.sort(key=lambda it: (self._order.get(it.file, -1), it.line, it.column))
        return Outcome((*found, *found.summary()), found.is_refused)

    def _counts(self, held: _Held) -> bool:
        several = self._titles.get(_title(held))
        return several is not None and several[-1] is held

    def _position(self, held: _Held) -> tuple[int, int, tuple[int, int]]:
        """Returns where a document stands among all."""
        return held.rank, self._order[held.document.source.name], held.index


def _read_file(source: Source) -> _File:
    read = read_source(source, Budget())
    held = [_Held(d, settings_rank(d), (index, 0)) for index, d in enumerate(read.documents)]
    return _File(source, read, held, [h.document for h in held if h.document.kind == "MeshConfig"])


def _expanded(placed: Placed, config: MeshConfig, names: tuple[str, str]) -> _Expanded:
    documents, findings = read_expanded(placed, config)
    held = [_Held(document, _EXPANDED_RANK, (0, 0)) for document in documents]
    return _Expanded(placed, names, held, findings)


def _is_same(one: Source, other: Source) -> bool:
    return one is other or one.data == other.data


def _title(held: _Held) -> _Title:
    document = held.document
    return document.kind, document.namespace, document.name


def _mesh_of(service: Service, of_mesh: Settings) -> Mesh:
    mesh = empty(of_mesh, 0)
    mesh["services"].append(service)
    return mesh
