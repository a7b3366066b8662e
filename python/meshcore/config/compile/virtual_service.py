"""VirtualService to a route."""

from collections.abc import Sequence

from meshcore.config.addresses import full_name
from meshcore.config.compile.http_match import http_matches
from meshcore.config.compile.http_rule import Naming, destinations, http_rule
from meshcore.config.compile.shared_fields import export_to
from meshcore.config.document import Document
from meshcore.config.models.virtual_service import L4Match, TcpRoute, VirtualService
from meshcore.config.resources import HttpRule, Mesh, TcpMatch, TcpRule

# The name that means sidecars, where gateways are listed.
MESH = "mesh"


def compile_document(document: Document[VirtualService], mesh: Mesh) -> None:
    """Adds the rules. Without gateways they are for sidecars."""
    spec = document.spec
    domain = mesh["settings"]["domain"]
    if not spec.hosts:
        return  # only another VirtualService can bring it to bear
    mesh["routes"].append(
        {
            "origin": document.origin(),
            "hosts": [full_name(host, document.namespace, domain) for host in spec.hosts],
            "gateways": [gateway(name, document.namespace) for name in spec.gateways] or [MESH],
            "export_to": export_to(spec.export_to),
            "created": document.created,
            "http": _http(document, mesh),
            "tcp": [*_tls(document, domain), *_tcp(document, domain)],
        }
    )


def gateway(name: str, namespace: str) -> str:
    """Returns a gateway as `namespace/name`; `mesh` means sidecars."""
    return name if name == MESH or "/" in name else f"{namespace}/{name}"


def _http(document: Document[VirtualService], mesh: Mesh) -> list[HttpRule]:
    """Returns the rules for HTTP, without those whose every match asks what cannot be known."""
    settings = mesh["settings"]
    naming = Naming(document.namespace, settings["domain"])
    rules: list[HttpRule] = []
    for index, written in enumerate(document.spec.http):
        matches = http_matches(written.match, document.namespace)
        if written.match and not matches:
            continue
        rule = http_rule(written, naming, settings["default_retries"])
        rule["line"] = document.line("http", index)
        rule["matches"] = matches
        rules.append(rule)
    return rules


def _tls(document: Document[VirtualService], domain: str) -> list[TcpRule]:
    """Returns the rules for TLS that does not end at the gateway or sidecar."""
    rules: list[TcpRule] = []
    for index, written in enumerate(document.spec.tls):
        matches = [
            _tcp_match(item, document.namespace, [name.lower() for name in item.sni_hosts])
            for item in written.match
            if not item.source_subnet
        ]
        if matches and written.route:
            rules.append(
                {
                    "line": document.line("tls", index),
                    "matches": matches,
                    "destinations": destinations(written.route, Naming(document.namespace, domain)),
                }
            )
    return rules


def _tcp(document: Document[VirtualService], domain: str) -> list[TcpRule]:
    rules: list[TcpRule] = []
    for index, written in enumerate(document.spec.tcp):
        matches = _tcp_matches(written, document.namespace)
        if written.match and not matches:
            continue
        rules.append(
            {
                "line": document.line("tcp", index),
                "matches": matches,
                "destinations": destinations(written.route, Naming(document.namespace, domain)),
            }
        )
    return rules


def _tcp_matches(written: TcpRoute, namespace: str) -> list[TcpMatch]:
    """Returns the matches that can be decided: a `sourceSubnet` cannot, and matches nothing."""
    return [_tcp_match(item, namespace) for item in written.match if not item.source_subnet]


def _tcp_match(written: L4Match, namespace: str, sni_hosts: Sequence[str] = ()) -> TcpMatch:
    return {
        "destination_subnets": list(written.destination_subnets),
        "sni_hosts": list(sni_hosts),
        "port": written.port,
        "source_labels": dict(written.source_labels),
        "source_namespace": written.source_namespace,
        "gateways": [gateway(name, namespace) for name in written.gateways],
    }
