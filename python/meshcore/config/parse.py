"""Sources to documents. Everything that is wrong is found, not only the first."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from meshcore.config.compose import Budget, compose
from meshcore.config.document import Document
from meshcore.config.expand import expand_service, settings_of
from meshcore.config.findings import Findings
from meshcore.config.models import Kind, kind_named, kinds_of_group
from meshcore.config.models.base import Metadata, Model
from meshcore.config.models.mesh_config import MeshConfig
from meshcore.config.nodes import Items, Mapping, Node, Scalar, entry, find, text
from meshcore.config.short_form import (
    SHORT_FORM_KEYS,
    Placed,
    ShortForm,
    ShortService,
    place,
    services_of,
)
from meshcore.config.source import Source
from meshcore.config.suggest import did_you_mean
from meshcore.config.validate import MAX_MISTAKES, ModelT, nulls, validate
from meshcore.errors import Diagnostic, Severity

# Kinds of which a user of Istio expects an effect that they do not have here yet, by API group.
_NOT_APPLIED = {
    "networking.istio.io": ("EnvoyFilter", "ProxyConfig", "Sidecar"),
    "security.istio.io": ("RequestAuthentication",),
    "telemetry.istio.io": ("Telemetry",),
    "extensions.istio.io": ("TrafficExtension", "WasmPlugin"),
    "gateway.networking.k8s.io": (
        "BackendTLSPolicy", "GRPCRoute", "Gateway", "GatewayClass", "HTTPRoute", "ListenerSet",
        "ReferenceGrant", "TCPRoute", "TLSRoute", "UDPRoute",
    ),
}  # fmt: skip
_TOP_LEVEL = ["apiVersion", "kind", "metadata", "spec", "status"]


@dataclass(slots=True)
class Parsed:
    """What sources say."""

    documents: list[Document[Model]] = field(default_factory=list[Document[Model]])
    diagnostics: Findings = field(default_factory=Findings)

    @property
    def is_whole(self) -> bool:
        """Whether nothing was refused, so that what is missing is truly missing."""
        return not self.diagnostics.is_refused


@dataclass(frozen=True, slots=True)
class _Written:
    """A document as it was written."""

    source: Source
    node: Mapping
    from_short_form: bool = False

    def problem(
        self, message: str, *path: str | int, code: str = "IST0106", hint: str = ""
    ) -> Diagnostic:
        line, column = find(self.node, path)
        return Diagnostic(
            severity=Severity.ERROR,
            code=code,
            message=message,
            origin=self.title,
            file=self.source.name,
            line=line,
            column=column,
            source_line=self.source.line(line),
            hint=hint,
        )

    @property
    def title(self) -> str:
        if "kind" not in self.node.entries:
            return ""
        metadata = entry(self.node, "metadata")
        namespace = text(entry(metadata, "namespace")) or "default"
        return f"{text(entry(self.node, 'kind'))} {namespace}/{text(entry(metadata, 'name'))}"[:300]


@dataclass(frozen=True, slots=True)
class Read:
    """What one source says by itself, whatever others say."""

    documents: tuple[Document[Model], ...]
    """In their order, with the settings of the short form at the end."""
    services: tuple[ShortService, ...]
    """Services in the short form, which settings and names elsewhere decide about."""
    diagnostics: Findings
    nodes: int
    """Values that were made, for the budget of a whole change."""


def parse(sources: Sequence[Source]) -> Parsed:
    """Returns the documents of `sources`; the short form is expanded. Never raises."""
    parsed = Parsed()
    documents: list[Document[Model]] = []
    services: list[ShortService] = []
    budget = Budget()
    for source in sources:
        read = read_source(source, budget)
        parsed.diagnostics += read.diagnostics
        documents += read.documents
        services += read.services
        if parsed.diagnostics.is_full:
            break
    parsed.documents = settings_first(documents)
    configs = [d.spec for d in parsed.documents if isinstance(d.spec, MeshConfig)]
    settings = configs[-1] if configs else MeshConfig()
    for placed in place(services, parsed.diagnostics):
        if parsed.diagnostics.is_full:
            break
        expanded, problems = read_expanded(placed, settings)
        parsed.documents += expanded
        parsed.diagnostics += problems
    return parsed


def read_source(source: Source, budget: Budget) -> Read:
    """Returns what `source` says by itself. Never raises."""
    before = budget.nodes
    found = Findings()
    written: list[_Written] = []
    forms: list[ShortForm] = []
    for node in compose(source, budget, found):
        for item in _items(source, node, found):
            if "kind" in item.node.entries:
                written.append(item)
            elif any(key in item.node.entries for key in SHORT_FORM_KEYS):
                forms.append(ShortForm(item.source, item.node))
            else:
                found.append(_neither(item))
    written += [
        _Written(form.source, settings, from_short_form=True)
        for form in forms
        if (settings := settings_of(form)) is not None
    ]
    documents = tuple(d for item in written if (d := _read(item, found)) is not None)
    services = tuple(service for form in forms for service in services_of(form, found))
    return Read(documents, services, found, before - budget.nodes)


def read_expanded(
    placed: Placed, settings: MeshConfig
) -> tuple[tuple[Document[Model], ...], Findings]:
    """Returns the documents that a service in the short form stands for, and what is wrong."""
    found = Findings()
    written = (
        _Written(placed.service.source, node, from_short_form=True)
        for node in expand_service(placed, settings)
    )
    return tuple(d for item in written if (d := _read(item, found)) is not None), found


def settings_first(documents: Sequence[Document[Model]]) -> list[Document[Model]]:
    """Returns `documents` with settings before all others, those of the short form last of them."""
    return sorted(documents, key=settings_rank)


def settings_rank(document: Document[Model]) -> int:
    """Returns where a document stands among others, before its source and line count."""
    if not isinstance(document.spec, MeshConfig):
        return 2
    return 1 if document.from_short_form else 0


def _items(source: Source, node: Node, found: Findings) -> Iterator[_Written]:
    if isinstance(node, Mapping):
        yield from _listed(_Written(source, node), found)
        return
    message = "a document must be a mapping, with kind or services"
    found.append(source.diagnostic(message, node.line, node.column))


def _listed(item: _Written, found: Findings) -> Iterator[_Written]:
    """Yields a document, or those in it when its kind is List."""
    kind = text(entry(item.node, "kind"))
    inside = entry(item.node, "items")
    if not kind.endswith("List") or not isinstance(inside, Items):
        yield item
        return
    for index, node in enumerate(inside.items):
        if isinstance(node, Mapping):
            yield from _listed(_Written(item.source, node), found)
        else:
            found.append(item.problem("not a document", "items", index))


def _neither(item: _Written) -> Diagnostic:
    keys = list(item.node.entries)
    hint = did_you_mean(keys[0], ["services", "mesh", "kind"], show_allowed=False) if keys else ""
    message = (
        "neither kind (an Istio or Kubernetes document) nor services (the short form) is given"
    )
    return item.problem(message, code="MC0002", hint=hint)


def _read(item: _Written, found: Findings) -> Document[Model] | None:
    if found.is_full:
        return None
    kind = _kind_of(item, found)
    if kind is None:
        return None
    problems = [
        item.problem("unknown field", key, hint=did_you_mean(key, _TOP_LEVEL))
        for key in islice(item.node.entries, MAX_MISTAKES)
        if kind.has_spec and key not in _TOP_LEVEL
    ]
    metadata, wrong = _part(item, "metadata", Metadata)
    problems += wrong
    if metadata is not None and not metadata.name and kind.name != "MeshConfig":
        problems.append(item.problem("metadata.name: Required value: the field must be given",
                                     "metadata"))  # fmt: skip
    spec, wrong = _spec(item, kind)
    problems += wrong
    found += map(_without_values, problems) if kind.name == "Secret" else problems
    if problems or metadata is None or spec is None:
        return None
    api_version = text(entry(item.node, "apiVersion"))
    return Document(
        kind.name, api_version, metadata, spec, item.node, item.source, item.from_short_form
    )


def _without_values(problem: Diagnostic) -> Diagnostic:
    """Returns a problem of a Secret without what was written there: it may be a key."""
    if problem.message.endswith("unknown field"):
        message = "a field that a Secret does not have"
    else:
        message = re.sub(r'\(.*\)|".*"', "(not shown)", problem.message, flags=re.DOTALL)
    return replace(problem, message=message, hint="")


def _spec(item: _Written, kind: Kind[Model]) -> tuple[Model | None, list[Diagnostic]]:
    node = entry(item.node, "spec")
    if kind.needs_spec and (node is None or (isinstance(node, Scalar) and node.value is None)):
        return None, [item.problem("spec: Required value: the field must be given", "kind")]
    if not kind.has_spec:
        return _beside_metadata(item, kind)
    spec, problems = _part(item, "spec", kind.spec)
    below = entry(node, kind.refuses_null_below) if kind.refuses_null_below else None
    found = nulls(below) if below is not None and not isinstance(below, Scalar) else ()
    for path in islice(found, MAX_MISTAKES):
        full = ("spec", kind.refuses_null_below, *path)
        problems.append(item.problem("nothing is given here, which would constrain nothing", *full,
                                     hint="remove the field, or give it a value"))  # fmt: skip
    return spec, problems


def _beside_metadata(item: _Written, kind: Kind[Model]) -> tuple[Model | None, list[Diagnostic]]:
    entries = {key: node for key, node in item.node.entries.items() if key not in _TOP_LEVEL}
    rest = Mapping(
        entries, item.node.places, item.node.line, item.node.column, item.node.size, item.node.depth
    )
    return validate(rest, kind.spec, item.source, item.title)


def _part(item: _Written, name: str, model: type[ModelT]) -> tuple[ModelT | None, list[Diagnostic]]:
    node = entry(item.node, name)
    if node is None or (isinstance(node, Scalar) and node.value is None):
        node = Mapping(line=item.node.line, column=item.node.column)
    return validate(node, model, item.source, item.title, (name,))


def _kind_of(item: _Written, found: Findings) -> Kind[Model] | None:
    """Returns the kind of a document; says so when it is not one that is read."""
    name, api_version = text(entry(item.node, "kind")), text(entry(item.node, "apiVersion"))
    kind = kind_named(name)
    group = api_version.rpartition("/")[0]
    if not name:
        found.append(item.problem("kind: text is needed", "kind"))
        return None
    if kind is not None and not api_version:
        hint = f"add apiVersion: {kind.api_versions()[0]}"
        found.append(item.problem("apiVersion: Required value", "kind", hint=hint))
        return None
    if kind is None or group not in kind.groups:
        found.append(_unknown_kind(item, name, group))
        return None
    if not kind.is_served_as(api_version):
        hint = did_you_mean(api_version, kind.api_versions())
        message = f"unknown version {api_version[:60]!r} of {name}"
        found.append(item.problem(message, "apiVersion", hint=hint))
        return None
    return kind


def _unknown_kind(item: _Written, name: str, group: str) -> Diagnostic:
    """Returns what is to say about a kind that is not read.

    In Istio's own groups a kind that does not exist is a misspelled one, and so an error: a policy
    that is not seen would be a policy that does not hold.
    """
    expected = _NOT_APPLIED.get(group)
    if expected is not None and name not in expected:
        known = [*expected, *kinds_of_group(group)]
        message = f"unknown kind {name[:60]!r} in {group}"
        return item.problem(message, "kind", code="MC0101", hint=did_you_mean(name, known))
    what = "is not read by meshcore" if expected is None else "is not applied yet: it has no effect"
    problem = item.problem(f"the kind {name[:60]} {what}", "kind", code="MC0101")
    return replace(problem, severity=Severity.INFO if expected is None else Severity.WARNING)
