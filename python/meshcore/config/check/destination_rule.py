"""DestinationRules: what they name, and what is not applied."""

from collections.abc import Iterator
from dataclasses import replace

from meshcore.config.check.not_applied import FieldTable
from meshcore.config.check.references import host_of
from meshcore.config.check.world import World
from meshcore.config.document import Document
from meshcore.config.models.destination_rule import DestinationRule, TrafficPolicy
from meshcore.config.resources import Service
from meshcore.errors import Diagnostic, Severity

_IN_POLICIES = {
    "loadBalancer.consistentHash": "the less busy of two endpoints is taken",
    "loadBalancer.localityLbSetting": "localities are not looked at",
    "loadBalancer.zoneAwareLbSetting": "zones are not looked at",
    "loadBalancer.warmup": "new endpoints get their whole share at once",
    "loadBalancer.warmupDurationSecs": "new endpoints get their whole share at once",
    "connectionPool.http.http2KeepAlive": "idle connections are not pinged",
    "tls.credentialName": "secrets are not read, use files",
    "tls.caCrl": "revoked certificates are taken",
    "tunnel": "connections are made directly",
    "proxyProtocol": "no address is sent ahead",
    "retryBudget": "retries are limited by their number alone",
}
_POLICIES = (
    "trafficPolicy",
    "trafficPolicy.portLevelSettings[]",
    "subsets[].trafficPolicy",
    "subsets[].trafficPolicy.portLevelSettings[]",
)
NOT_APPLIED = FieldTable(
    {
        f"{policy}.{field}": instead
        for policy in _POLICIES
        for field, instead in _IN_POLICIES.items()
    }
)


def check_document(document: Document[DestinationRule], world: World) -> Iterator[Diagnostic]:
    """Yields what is to say about a DestinationRule."""
    yield from NOT_APPLIED.find(document)
    yield from _deprecated(document)
    if not world.is_whole:
        return
    host = host_of(document, document.spec.host, world)
    services = world.services_of(host)
    if not services and not host.startswith("*"):
        hint = world.did_you_mean(host)
        message = f"no Service or ServiceEntry has the host {host!r}"
        yield document.report(Severity.WARNING, "IST0174", message, "host", hint=hint)
    for service in services:
        yield from _empty_subsets(document, service, world)
        yield from _unknown_ports(document, service)


def _deprecated(document: Document[DestinationRule]) -> Iterator[Diagnostic]:
    policy = document.spec.traffic_policy or TrafficPolicy()
    if policy.load_balancer is not None and policy.load_balancer.simple == "LEAST_CONN":
        message = "LEAST_CONN is deprecated, and means LEAST_REQUEST"
        path = ("trafficPolicy", "loadBalancer", "simple")
        yield document.report(Severity.WARNING, "IST0002", message, *path)


def _empty_subsets(
    document: Document[DestinationRule], service: Service, world: World
) -> Iterator[Diagnostic]:
    """Yields an error for a subset without endpoints, unless the service has none either."""
    selected = world.selected(service["selector"] or {}, service["namespace"])
    own = [workload["labels"] for workload in selected]
    own += [endpoint["labels"] for endpoint in service["endpoints"]]
    for index, subset in enumerate(document.spec.subsets if own else []):
        if not any(subset.labels.items() <= labels.items() for labels in own):
            wanted = ", ".join(f"{key}={value}" for key, value in subset.labels.items())
            message = f"no endpoint of {service['host']} has the labels {wanted}"
            diagnostic = document.report(
                Severity.ERROR, "IST0173", message, "subsets", index, "labels"
            )
            yield replace(diagnostic, blocks=False)


def _unknown_ports(document: Document[DestinationRule], service: Service) -> Iterator[Diagnostic]:
    numbers = {port["number"] for port in service["ports"]}
    policy = document.spec.traffic_policy or TrafficPolicy()
    for index, item in enumerate(policy.port_level_settings):
        if item.port.number not in numbers:
            message = f"{service['host']} has no port {item.port.number}"
            path = ("trafficPolicy", "portLevelSettings", index, "port")
            hint = f"its ports: {', '.join(str(n) for n in sorted(numbers)[:16])}"
            yield document.report(Severity.WARNING, "IST0101", message, *path, hint=hint)
