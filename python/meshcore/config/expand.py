"""The short form to the Istio documents that it stands for.

What comes out goes the way of all documents. Every node keeps the place of what it was made of, so
that an error in a generated document points at the line that a person wrote.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import yaml

from meshcore.config import scalars
from meshcore.config.addresses import is_dns_label, is_ip
from meshcore.config.document import Document
from meshcore.config.findings import Findings
from meshcore.config.models.base import Model
from meshcore.config.models.http_action import HttpRetry
from meshcore.config.models.mesh_config import MeshConfig
from meshcore.config.models.short_form import ShortService, split_address
from meshcore.config.nodes import Items, Mapping, Node, Scalar, entry, text
from meshcore.config.source import Source
from meshcore.config.suggest import MAX_HINTS, did_you_mean, nearest
from meshcore.config.validate import validate
from meshcore.errors import Diagnostic, Severity

SHORT_FORM_KEYS = ("services", "mesh")
_KEYS = [*SHORT_FORM_KEYS, "namespace"]

_NETWORKING = "networking.istio.io/v1"
_SECURITY = "security.istio.io/v1"
# Port on which every sidecar takes traffic. Source: Istio's ports.
_INBOUND_PORT = "15006"

Place: TypeAlias = tuple[int, int]
# Mappings, lists and scalars; a node stands for itself and keeps its place.
Tree: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class ShortForm:
    """A document in the short form."""

    source: Source
    node: Mapping

    def mesh_config(self) -> Mapping | None:
        """Returns the settings in it as a document of their own, or `None`."""
        settings = self.node.entries.get("mesh")
        if settings is None:
            return None
        return _document("meshcore.io/v1", "MeshConfig", {"name": "mesh"}, settings,
                         self.node.places["mesh"])  # fmt: skip


@dataclass(slots=True)
class _Names:
    """What is taken, over all sources."""

    services: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    """Where each service stands, by namespace and name."""
    hints_left: int = MAX_HINTS
    workloads: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])


@dataclass(frozen=True, slots=True)
class _Service:
    """A service on its way to documents."""

    name: str
    namespace: str
    spec: ShortService
    node: Mapping
    place: Place
    source: Source

    @property
    def metadata(self) -> Tree:
        return {"name": Scalar(self.name, *self.place), "namespace": self.namespace}

    def key(self, name: str) -> Place:
        """Returns where the field `name` stands, or the service itself."""
        return self.node.places.get(name, self.place)

    def value(self, name: str) -> Node | None:
        return self.node.entries.get(name)


def expand(documents: Iterable[Document[Model]]) -> str:
    """Returns `documents` as YAML that is read back to the same documents."""
    dumped = (
        yaml.dump(
            document.node.plain(),
            Dumper=_Dumper,
            sort_keys=False,
            default_flow_style=False,
            width=100,
        )
        for document in documents
    )
    return "---\n".join(dumped)


def expand_short_form(
    forms: Sequence[ShortForm], settings: MeshConfig, problems: Findings
) -> Iterator[tuple[Source, Mapping]]:
    """Yields the documents that `forms` stand for; what is wrong is added to `problems`."""
    names = _Names()
    services = [s for form in forms for s in _services(form, names, problems)]
    for service in services:
        if problems.is_full:
            return
        problems += _unknown_callers(service, names)
        for node in _documents(service, settings, names):
            yield service.source, node


def _services(form: ShortForm, names: _Names, problems: Findings) -> Iterator[_Service]:
    for key in form.node.entries:
        if key not in _KEYS:
            hint = did_you_mean(key, _KEYS)
            problems.append(
                _error(form.source, f"unknown field {key[:60]!r}", form.node.places[key], hint)
            )
    services = form.node.entries.get("services")
    if isinstance(services, Mapping):
        for name, node in services.entries.items():
            if problems.is_full:
                return
            service = _service(form, (name, services.places[name], node), problems)
            if service is not None and _is_new(service, names, problems):
                yield service
    elif services is not None and not (isinstance(services, Scalar) and services.value is None):
        message = "services: a mapping of names to services is needed"
        problems.append(_error(form.source, message, (services.line, services.column)))


def _service(
    form: ShortForm, given: tuple[str, Place, Node], problems: Findings
) -> _Service | None:
    name, place, node = given
    if not isinstance(node, Mapping):
        node = Mapping(line=place[0], column=place[1])
    spec, found = validate(
        node, ShortService, form.source, f"service {name[:80]}", ("services", name)
    )
    problems += found
    allowed = node.entries.get("allow")
    if isinstance(allowed, Scalar) and allowed.value is None:
        message = f"services.{name}.allow: nothing is given here, which would allow everybody"
        hint = "write [] for nobody, or remove the field"
        problems.append(_error(form.source, message, (allowed.line, allowed.column), hint))
        return None
    if not is_dns_label(name):
        message = f"{name[:60]!r} is not a service name, use lower-case letters, digits and '-'"
        problems.append(_error(form.source, message, place))
        return None
    if spec is None:
        return None
    namespace = spec.namespace or text(entry(form.node, "namespace")) or "default"
    return _Service(name, namespace, spec, node, place, form.source)


def _is_new(service: _Service, names: _Names, problems: Findings) -> bool:
    known = names.services.setdefault(service.namespace, {})
    first = known.get(service.name)
    if first is None:
        known[service.name] = f"{service.source.name}:{service.place[0]}"
        return True
    message = f"the service {service.name!r} is given twice in the namespace {service.namespace!r}"
    problems.append(_error(service.source, message, service.place, f"the first is at {first}"))
    return False


def _unknown_callers(service: _Service, names: _Names) -> Iterator[Diagnostic]:
    """Yields a warning for each caller whose name is nearly that of a service."""
    known = names.services[service.namespace]
    allowed = service.value("allow")
    for node in allowed.items if isinstance(allowed, Items) else []:
        caller = text(node)
        is_known = "/" in caller or caller == "*" or caller in known
        if is_known or not names.hints_left:
            continue
        names.hints_left -= 1
        near = nearest(caller, known)
        if near:
            line = node.line
            yield Diagnostic(
                severity=Severity.WARNING,
                code="MC0201",
                message=f"no service is named {caller!r}, so that only its identity may call",
                origin=f"service {service.namespace}/{service.name}",
                file=service.source.name,
                line=line,
                column=node.column,
                source_line=service.source.line(line),
                hint=f'did you mean "{near}"?',
            )


def _documents(service: _Service, settings: MeshConfig, names: _Names) -> Iterator[Mapping]:
    yield _service_entry(service, settings)
    yield from _workload_entries(service, names)
    if service.spec.versions:
        yield _destination_rule(service, settings)
    spec = service.spec
    if spec.split is not None or spec.timeout is not None or spec.retries is not None:
        yield _virtual_service(service, settings)
    if spec.allow is not None:
        yield _authorization_policy(service, settings)


def _host(service: _Service, settings: MeshConfig) -> Scalar:
    return Scalar(f"{service.name}.{service.namespace}.svc.{settings.domain}", *service.place)


def _service_entry(service: _Service, settings: MeshConfig) -> Mapping:
    addresses = [*service.spec.endpoints, *(a for v in service.spec.versions.values() for a in v)]
    are_ips = all(is_ip(split_address(address)[0]) for address in addresses)
    spec = {
        "hosts": [_host(service, settings)],
        "location": "MESH_INTERNAL",
        "resolution": "STATIC" if are_ips else "DNS",
        "ports": [
            {
                "number": service.value("port"),
                "name": service.spec.protocol.lower(),
                "protocol": service.spec.protocol,
            }
        ],
        "workloadSelector": {"labels": {"app": service.name}},
    }
    return _document(_NETWORKING, "ServiceEntry", service.metadata, spec, service.place)


def _workload_entries(service: _Service, names: _Names) -> Iterator[Mapping]:
    endpoints = service.value("endpoints")
    if isinstance(endpoints, Items):
        yield from _group(service, "", endpoints, names)
    versions = service.value("versions")
    if isinstance(versions, Mapping):
        for version, addresses in versions.entries.items():
            if isinstance(addresses, Items):
                yield from _group(service, version, addresses, names)


def _group(service: _Service, version: str, addresses: Items, names: _Names) -> Iterator[Mapping]:
    """Yields the workloads of one version: they are told apart by a number."""
    group = f"{service.name}-{version}" if version else service.name
    for number, node in enumerate(addresses.items, start=1):
        base = group if len(addresses.items) == 1 else f"{group}-{number}"
        name = base
        while (service.namespace, name) in names.workloads:
            name += ".x"
        names.workloads.add((service.namespace, name))
        yield _workload_entry(service, (version, group, name), node)


def _workload_entry(service: _Service, named: tuple[str, str, str], node: Node) -> Mapping:
    version, group, name = named
    place = (node.line, node.column)
    address, port = split_address(text(node))
    labels = {"app": service.name}
    if version:
        labels["version"] = version
    labels |= {
        "security.istio.io/tlsMode": "istio",
        "networking.istio.io/tunnel": "http",
        "meshcore.io/inbound-port": _INBOUND_PORT,
    }
    if name != group:
        labels["service.istio.io/workload-name"] = group
    spec: Tree = {"address": Scalar(address, *place)}
    if port is not None and port != service.spec.port:
        spec["ports"] = {service.spec.protocol.lower(): port}
    spec |= {"labels": labels, "serviceAccount": service.name}
    metadata = {"name": name, "namespace": service.namespace}
    return _document(_NETWORKING, "WorkloadEntry", metadata, spec, place)


def _destination_rule(service: _Service, settings: MeshConfig) -> Mapping:
    versions = service.value("versions")
    places = versions.places if isinstance(versions, Mapping) else {}
    spec = {
        "host": _host(service, settings),
        "subsets": [
            {"name": Scalar(v, *places[v]), "labels": {"version": Scalar(v, *places[v])}}
            for v in service.spec.versions
        ],
    }
    place = service.key("versions")
    return _document(_NETWORKING, "DestinationRule", service.metadata, spec, place)


def _virtual_service(service: _Service, settings: MeshConfig) -> Mapping:
    host = _host(service, settings)
    split = service.value("split")
    route: Tree = [{"destination": {"host": host}}]
    if isinstance(split, Mapping):
        route = [
            {
                "destination": {"host": host, "subset": Scalar(version, *split.places[version])},
                "weight": weight,
            }
            for version, weight in split.entries.items()
        ]
    rule: Tree = {"route": route}
    if service.value("timeout") is not None:
        rule["timeout"] = service.value("timeout")
    if service.spec.retries is not None:
        retries = service.value("retries")
        is_whole = isinstance(service.spec.retries, HttpRetry)
        rule["retries"] = retries if is_whole else {"attempts": retries}
    is_http = service.spec.protocol in {"HTTP", "HTTP2", "GRPC", "GRPC-WEB"}
    spec = {"hosts": [host], "http" if is_http else "tcp": [rule]}
    place = service.key("split")
    return _document(_NETWORKING, "VirtualService", service.metadata, spec, place)


def _authorization_policy(service: _Service, settings: MeshConfig) -> Mapping:
    allowed = service.value("allow")
    nodes = allowed.items if isinstance(allowed, Items) else []
    principals = [
        Scalar(_principal(text(node), service, settings), node.line, node.column) for node in nodes
    ]
    spec: Tree = {"selector": {"matchLabels": {"app": service.name}}, "action": "ALLOW"}
    if principals:
        spec["rules"] = [{"from": [{"source": {"principals": principals}}]}]
    metadata = {"name": f"{service.name}-callers", "namespace": service.namespace}
    return _document(_SECURITY, "AuthorizationPolicy", metadata, spec, service.key("allow"))


def _principal(caller: str, service: _Service, settings: MeshConfig) -> str:
    if caller == "*":
        return "*"
    namespace, _, name = caller.rpartition("/")
    return f"{settings.trust_domain}/ns/{namespace or service.namespace}/sa/{name}"


def _document(api_version: str, kind: str, metadata: Tree, spec: Tree, place: Place) -> Mapping:
    tree = {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}
    built = _build(tree, place)
    return built if isinstance(built, Mapping) else Mapping()


def _build(tree: Tree, place: Place) -> Node:
    """Returns `tree` as nodes at `place`; what is a node already stays where it is."""
    if isinstance(tree, (Scalar, Items, Mapping)):
        return tree
    if isinstance(tree, dict):
        entries = {
            key: _build(value, place) for key, value in cast("dict[str, Tree]", tree).items()
        }
        places = {key: _start(node) for key, node in entries.items()}
        return Mapping(entries, places, *place)
    if isinstance(tree, list):
        items: list[Tree] = tree  # pyright: ignore[reportUnknownVariableType]
        return Items([_build(item, place) for item in items], *place)
    return Scalar(tree, *place)


def _start(node: Node) -> Place:
    return node.line, node.column


def _error(source: Source, message: str, place: Place, hint: str = "") -> Diagnostic:
    line, column = place
    return Diagnostic(
        severity=Severity.ERROR,
        code="MC0002",
        message=message,
        file=source.name,
        line=line,
        column=column,
        source_line=source.line(line),
        hint=hint,
    )


class _Dumper(yaml.SafeDumper):
    """Writes text in quotes wherever our own reading would make something else of it."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if isinstance(scalars.resolve(text), str) else "'"
    return dumper.represent_scalar(  # pyright: ignore[reportUnknownMemberType]
        "tag:yaml.org,2002:str", text, style=style
    )


_Dumper.add_representer(str, _represent_text)
