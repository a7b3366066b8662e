"""VirtualServices: what they name, what can never match, what is not applied."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from meshcore.config.check.conflicts import conflicting_hosts
from meshcore.config.check.not_applied import CODE, FieldTable
from meshcore.config.check.reachable import unreachable
from meshcore.config.check.references import NOT_FOUND, host_of, unknown_host, unknown_subset
from meshcore.config.check.world import World, covers
from meshcore.config.compile.http_match import IGNORED_HEADERS, asks_claims
from meshcore.config.compile.http_rule import authority_of, body_of
from meshcore.config.compile.virtual_service import MESH, gateway
from meshcore.config.document import Document
from meshcore.config.models.http_action import RETRY_ON_IGNORED
from meshcore.config.models.virtual_service import (
    Destination,
    HttpMatch,
    HttpRoute,
    TcpRoute,
    TlsRoute,
    VirtualService,
)
from meshcore.config.resources import Gateway, GatewayServer
from meshcore.config.suggest import did_you_mean
from meshcore.errors import Diagnostic, Severity

NOT_APPLIED = FieldTable(
    {
        "http[].mirror": "no request is copied",
        "http[].mirrors": "no request is copied",
        "http[].corsPolicy": "the service answers preflights itself",
        "http[].match[].statPrefix": "there are no statistics under this name",
        "http[].retries.retryRemoteLocalities": "localities are not looked at",
        "tcp[].match[].sourceSubnet": "the match is taken out, so that it matches nothing",
        "tls[].match[].sourceSubnet": "the match is taken out, so that it matches nothing",
    }
)


def check_document(document: Document[VirtualService], world: World) -> Iterator[Diagnostic]:
    """Yields what is to say about a VirtualService."""
    yield from NOT_APPLIED.find(document)
    yield from _gateways(document, world)
    yield from conflicting_hosts(document, world)
    yield from unreachable(document, world)
    for index, rule in enumerate(document.spec.http):
        yield from _http_rule(document, rule, index)
    for destination, path in _destinations(document.spec):
        yield from _destination(document, destination, world, *path)


def _gateways(document: Document[VirtualService], world: World) -> Iterator[Diagnostic]:
    """Yields what is to say about gateways that are not there, or do not have the hosts."""
    if not world.is_whole:
        return
    hosts = [host_of(document, host, world) for host in document.spec.hosts]
    for index, written in enumerate(document.spec.gateways):
        name = gateway(written, document.namespace)
        if name == MESH:
            continue
        found = world.gateway(name)
        if found is None:
            known = map(gateway_name, world.gateways())
            message = f"there is no Gateway {name}"
            hint = did_you_mean(name, known, show_allowed=False)
            yield document.report(
                Severity.WARNING, NOT_FOUND, message, "gateways", index, hint=hint
            )
            continue
        for position, host in enumerate(hosts):
            if not any(_serves(server, host, document.namespace) for server in found["servers"]):
                message = f"the Gateway {name} does not serve the host {host}"
                hint = "add the host to one of its servers, or take the gateway out"
                yield document.report(
                    Severity.WARNING, "IST0132", message, "hosts", position, hint=hint
                )


def gateway_name(one: Gateway) -> str:
    """Returns what VirtualServices call a gateway."""
    return f"{one['origin']['namespace']}/{one['origin']['name']}"


def _serves(server: GatewayServer, host: str, namespace: str) -> bool:
    return any(
        own["namespace"] in {None, namespace}
        and (covers(own["host"], host) or covers(host, own["host"]))
        for own in server["hosts"]
    )


def _http_rule(
    document: Document[VirtualService], rule: HttpRoute, index: int
) -> Iterator[Diagnostic]:
    place = ("http", index)
    if rule.delegate is not None:
        message = "delegate is not supported yet, and requests would have nowhere to go"
        hint = f"put the rules of {rule.delegate.name} here"
        yield document.report(Severity.ERROR, CODE, message, *place, "delegate", hint=hint)
    if rule.direct_response is not None and body_of(rule.direct_response) is None:
        message = "the body is not text in base64, and other bodies are not supported yet"
        path = (*place, "directResponse", "body", "bytes")
        yield document.report(Severity.ERROR, CODE, message, *path)
    yield from _retries(document, rule, index)
    yield from _header_changes(document, rule, index)
    for number, match in enumerate(rule.match):
        yield from _match(document, match, *place, "match", number)


def _retries(
    document: Document[VirtualService], rule: HttpRoute, index: int
) -> Iterator[Diagnostic]:
    if rule.retries is None:
        return
    if "attempts" not in rule.retries.model_fields_set:
        message = "retries without attempts turns retrying off"
        path = ("http", index, "retries")
        yield document.report(
            Severity.WARNING, "IST0133", message, *path, hint="add attempts: 2, or attempts: 0"
        )
    for word in rule.retries.conditions():
        if word in RETRY_ON_IGNORED and word != "retriable-status-codes":
            message = f"the retry condition {word} is accepted but not applied yet"
            place = ("http", index, "retries", "retryOn")
            yield document.report(Severity.WARNING, CODE, message, *place)


def _header_changes(
    document: Document[VirtualService], rule: HttpRoute, index: int
) -> Iterator[Diagnostic]:
    if len(rule.route) > 1:
        for number, item in enumerate(rule.route):
            if authority_of(item.headers):
                path = ("http", index, "route", number, "headers")
                message = (
                    "the authority of one destination of several is not changed yet,"
                    " only that of a rule"
                )
                yield document.report(Severity.WARNING, CODE, message, *path)
    edits = rule.headers.request if rule.headers else None
    for name in (*edits.set, *edits.add, *edits.remove) if edits else ():
        if name.startswith(":") and name != ":authority":
            message = f"{name} is not a header field, and is left alone"
            place = ("http", index, "headers", "request")
            yield document.report(Severity.WARNING, "IST0133", message, *place)


def _match(
    document: Document[VirtualService], match: HttpMatch, *path: str | int
) -> Iterator[Diagnostic]:
    if asks_claims(match):
        message = "matches on claims of a token are not applied yet: it matches nothing"
        yield document.report(Severity.WARNING, CODE, message, *path)
    for field, names in (("headers", match.headers), ("withoutHeaders", match.without_headers)):
        for name in names:
            if name.lower() in IGNORED_HEADERS:
                message = f"{name} is not looked for among header fields"
                hint = f"use the field {name.lower()} of the match"
                place = (*path, field, name)
                yield document.report(Severity.WARNING, "IST0133", message, *place, hint=hint)


def _destinations(spec: VirtualService) -> Iterator[tuple[Destination, tuple[str | int, ...]]]:
    """Yields each destination with the path to it."""
    for index, rule in enumerate(spec.http):
        for number, item in enumerate(rule.route):
            yield item.destination, ("http", index, "route", number, "destination")
        if rule.mirror is not None:
            yield rule.mirror, ("http", index, "mirror")
        for number, mirror in enumerate(rule.mirrors):
            yield mirror.destination, ("http", index, "mirrors", number, "destination")
    yield from _bytes_destinations("tcp", spec.tcp)
    yield from _bytes_destinations("tls", spec.tls)


def _bytes_destinations(
    field: str, rules: Sequence[TcpRoute | TlsRoute]
) -> Iterator[tuple[Destination, tuple[str | int, ...]]]:
    for index, rule in enumerate(rules):
        for number, item in enumerate(rule.route):
            yield item.destination, (field, index, "route", number, "destination")


def _destination(
    document: Document[VirtualService], destination: Destination, world: World, *path: str | int
) -> Iterator[Diagnostic]:
    yield from unknown_host(document, destination.host, world, *path, "host")
    if destination.subset:
        named = (destination.host, destination.subset)
        yield from unknown_subset(document, named, world, *path, "subset")
    services = world.services_of(host_of(document, destination.host, world))
    ports = {port["number"] for service in services for port in service["ports"]}
    if not ports or not world.is_whole:
        return
    shown = ", ".join(str(port) for port in sorted(ports)[:16])
    if destination.port is None and len(ports) > 1:
        message = f"the host {destination.host} has several ports ({shown}), and none is chosen"
        yield _not_blocking(
            document.report(
                Severity.ERROR, "IST0112", message, *path, hint="add port: {number: ...}"
            )
        )
    elif destination.port is not None and destination.port.number not in ports:
        message = f"the host {destination.host} has no port {destination.port.number}"
        yield document.report(
            Severity.WARNING, "IST0101", message, *path, "port", hint=f"its ports: {shown}"
        )


def _not_blocking(diagnostic: Diagnostic) -> Diagnostic:
    """Returns an error that Istio reports, but runs with."""
    return replace(diagnostic, blocks=False)
