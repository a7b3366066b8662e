"""The short form to the Istio documents that it stands for.

What comes out goes the way of all documents. Every node keeps the place of what it was made of, so
that an error in a generated document points at the line that a person wrote.
"""

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias, cast

import yaml

from meshcore.config import scalars
from meshcore.config.addresses import is_ip
from meshcore.config.document import Document
from meshcore.config.models.base import Model
from meshcore.config.models.http_action import HttpRetry
from meshcore.config.models.mesh_config import MeshConfig
from meshcore.config.models.short_form import split_address
from meshcore.config.nodes import Items, Mapping, Node, Scalar, text
from meshcore.config.short_form import Place, Placed, ShortForm, ShortService, addresses_of

_NETWORKING = "networking.istio.io/v1"
_SECURITY = "security.istio.io/v1"
# Port on which every sidecar takes traffic. Source: Istio's ports.
_INBOUND_PORT = "15006"

# Mappings, lists and scalars; a node stands for itself and keeps its place.
Tree: TypeAlias = Any


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


def settings_of(form: ShortForm) -> Mapping | None:
    """Returns the settings in a document as one of their own, or `None`."""
    settings = form.node.entries.get("mesh")
    if settings is None:
        return None
    place = form.node.places["mesh"]
    return _document("meshcore.io/v1", "MeshConfig", {"name": "mesh"}, settings, place)


def expand_service(placed: Placed, settings: MeshConfig) -> Iterator[Mapping]:
    """Yields the documents that a service stands for."""
    service, spec = placed.service, placed.service.spec
    yield _service_entry(service, settings)
    yield from _workload_entries(placed)
    if spec.versions:
        yield _destination_rule(service, settings)
    if spec.split is not None or spec.timeout is not None or spec.retries is not None:
        yield _virtual_service(service, settings)
    if spec.allow is not None:
        yield _authorization_policy(service, settings)


def _metadata(service: ShortService) -> Tree:
    return {"name": Scalar(service.name, *service.place), "namespace": service.namespace}


def _host(service: ShortService, settings: MeshConfig) -> Scalar:
    return Scalar(f"{service.name}.{service.namespace}.svc.{settings.domain}", *service.place)


def _service_entry(service: ShortService, settings: MeshConfig) -> Mapping:
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
    return _document(_NETWORKING, "ServiceEntry", _metadata(service), spec, service.place)


def _workload_entries(placed: Placed) -> Iterator[Mapping]:
    listed = addresses_of(placed.service)
    for (version, group, node), name in zip(listed, placed.workloads, strict=True):
        yield _workload_entry(placed.service, (version, group, name), node)


def _workload_entry(service: ShortService, named: tuple[str, str, str], node: Node) -> Mapping:
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


def _destination_rule(service: ShortService, settings: MeshConfig) -> Mapping:
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
    return _document(_NETWORKING, "DestinationRule", _metadata(service), spec, place)


def _virtual_service(service: ShortService, settings: MeshConfig) -> Mapping:
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
    return _document(_NETWORKING, "VirtualService", _metadata(service), spec, place)


def _authorization_policy(service: ShortService, settings: MeshConfig) -> Mapping:
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


def _principal(caller: str, service: ShortService, settings: MeshConfig) -> str:
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
