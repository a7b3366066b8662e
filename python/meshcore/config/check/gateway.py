"""Gateways: what they name, what they share, what is not applied."""

from collections.abc import Iterator

from meshcore.config.check.not_applied import CODE, FieldTable
from meshcore.config.check.references import NOT_FOUND
from meshcore.config.check.world import World
from meshcore.config.compile.gateway import is_opened
from meshcore.config.document import Document
from meshcore.config.models.gateway import Gateway, Server, Tls
from meshcore.config.resources import Gateway as Resource
from meshcore.config.resources import GatewayServer
from meshcore.config.suggest import did_you_mean
from meshcore.errors import Diagnostic, Severity

CONFLICT = "IST0145"
SHARED_CERTIFICATE = "MC0106"

# Suites of TLS 1.2 that are spoken. Source: `meshcore-tls`.
SUITES = frozenset(
    f"ECDHE-{key}-{cipher}"
    for key in ("ECDSA", "RSA")
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
)
NOT_APPLIED = FieldTable(
    {
        "servers[].defaultEndpoint": "routes say where requests go",
        "servers[].name": "there are no statistics under this name",
        "servers[].tls.insecureSkipVerify": "the certificates of clients are verified",
    }
)


def check_document(document: Document[Gateway], world: World) -> Iterator[Diagnostic]:
    """Yields what is to say about a Gateway."""
    yield from NOT_APPLIED.find(document)
    for index, server in enumerate(document.spec.servers):
        yield from _opening(document, server, index)
        if server.tls is not None:
            yield from _tls(document, server.tls, world, index)
    own = world.gateway(f"{document.namespace}/{document.name}")
    if own is not None:
        yield from _conflicts(document, own, world)


def _opening(document: Document[Gateway], server: Server, index: int) -> Iterator[Diagnostic]:
    if is_opened(server):
        return
    if server.bind.startswith("unix://"):
        message, path = "a unix socket is not opened yet, so that nobody serves it", "bind"
        yield document.report(Severity.WARNING, CODE, message, "servers", index, path)
    else:
        message = "AUTO_PASSTHROUGH is accepted but not applied yet: the server is not opened"
        yield document.report(
            Severity.WARNING, CODE, message, "servers", index, "tls", "mode",
            hint="use PASSTHROUGH, and a VirtualService with tls routes",
        )  # fmt: skip


def _tls(document: Document[Gateway], tls: Tls, world: World, index: int) -> Iterator[Diagnostic]:
    place = ("servers", index, "tls")
    known = world.credential_names()
    named = [("credentialName", name) for name in tls.credentials()]
    if tls.ca_cert_credential_name:
        named.append(("caCertCredentialName", tls.ca_cert_credential_name))
    for field, name in named:
        if name not in known and world.is_whole:
            message = f"there is no Secret {name!r}: the server refuses every handshake"
            hint = did_you_mean(name, known, show_allowed=False)
            hint = hint or "add it to the namespace of the gateway, of type kubernetes.io/tls"
            yield document.report(Severity.WARNING, NOT_FOUND, message, *place, field, hint=hint)
    for position, suite in enumerate(tls.cipher_suites):
        if suite not in SUITES:
            message = f"the cipher suite {suite[:60]!r} is not spoken, and left out"
            path = (*place, "cipherSuites", position)
            yield document.report(
                Severity.WARNING, CODE, message, *path, hint=did_you_mean(suite, SUITES)
            )
    for field, version in (
        ("minProtocolVersion", tls.min_protocol_version),
        ("maxProtocolVersion", tls.max_protocol_version),
    ):
        if version in {"TLSV1_0", "TLSV1_1"}:
            message = f"{version} is not spoken: TLS 1.2 is the oldest"
            yield document.report(Severity.WARNING, CODE, message, *place, field)


def _conflicts(document: Document[Gateway], own: Resource, world: World) -> Iterator[Diagnostic]:
    """Yields what says that the older of two servers on one port leaves the other one out."""
    others = [
        (other, server)
        for other in world.gateways()
        if other["origin"] != own["origin"] and _meet(own, other)
        for server in other["servers"]
    ]
    lines = {document.line("servers", i): i for i in range(len(document.spec.servers))}
    for server in own["servers"]:
        place = ("servers", lines.get(server["line"], 0))
        for other, theirs in others:
            name = f"{other['origin']['namespace']}/{other['origin']['name']}"
            if _same_port(server, theirs) and _kind(server) != _kind(theirs):
                message = f"port {server['port']} is taken for something else by {name}"
                hint = "the older of the two is served: use one protocol, or another port"
                yield document.report(Severity.WARNING, CONFLICT, message, *place, hint=hint)
                break
            if _same_port(server, theirs) and (shared := _shared_host(server, theirs)):
                message = f"the TLS host {shared} on port {server['port']} is that of {name} too"
                hint = "the older of the two is served: name each host once"
                yield document.report(Severity.WARNING, CONFLICT, message, *place, hint=hint)
                break
            if shared := _shared_credential(server, theirs):
                message = f"the certificate {shared} is that of {name} too"
                hint = (
                    "browsers use one connection for all names of a certificate, and are answered"
                    " 421 for hosts of the other: use one Gateway"
                )
                yield document.report(Severity.INFO, SHARED_CERTIFICATE, message, *place, hint=hint)
                break


def _meet(one: Resource, other: Resource) -> bool:
    """Whether a gateway may have the labels of both selectors."""
    labels = one["selector"]
    return all(labels.get(key, value) == value for key, value in other["selector"].items())


def _same_port(one: GatewayServer, other: GatewayServer) -> bool:
    return one["port"] == other["port"] and one["bind"] == other["bind"]


def _kind(server: GatewayServer) -> str:
    return "tls" if server["tls"] is not None else server["protocol"]


def _shared_host(one: GatewayServer, other: GatewayServer) -> str:
    """Returns a host for which both would end TLS; passed through it is told apart by routes."""
    for server in (one, other):
        if server["tls"] is None or server["tls"]["mode"] == "passthrough":
            return ""
    theirs = {host["host"] for host in other["hosts"]}
    return next((host["host"] for host in one["hosts"] if host["host"] in theirs), "")


def _shared_credential(one: GatewayServer, other: GatewayServer) -> str:
    theirs = _credentials(other)
    return next((name for name in _credentials(one) if name in theirs), "")


def _credentials(server: GatewayServer) -> list[str]:
    sources = server["tls"]["certificates"] if server["tls"] is not None else []
    return [source["credential"] for source in sources if "credential" in source]
