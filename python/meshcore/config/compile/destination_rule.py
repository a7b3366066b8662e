"""DestinationRule to a traffic policy."""

from typing import Literal

from meshcore.config import resources
from meshcore.config.addresses import full_name
from meshcore.config.compile.shared_fields import export_to, selector
from meshcore.config.document import Document
from meshcore.config.models.destination_rule import (
    ClientTls,
    ConnectionPool,
    DestinationRule,
    HttpPool,
    LoadBalancer,
    OutlierDetection,
    PortPolicy,
    Subset,
    TcpPool,
    TrafficPolicy,
)
from meshcore.config.resources import Mesh, Policy

Balancing = Literal["least_request", "round_robin", "random", "passthrough"]
_BALANCING: dict[str, Balancing] = {
    "RANDOM": "random",
    "PASSTHROUGH": "passthrough",
    "ROUND_ROBIN": "round_robin",
}
# Defaults of outlier detection once it is on. Source: Istio's DestinationRule.
_CONSECUTIVE = 5
_INTERVAL_MS = 10_000
_BASE_EJECTION_MS = 30_000
_MAX_EJECTION_PERCENT = 10

_UPGRADES: dict[str | None, Literal["default", "never", "always"]] = {
    None: "default",
    "DEFAULT": "default",
    "DO_NOT_UPGRADE": "never",
    "UPGRADE": "always",
}


def compile_document(document: Document[DestinationRule], mesh: Mesh) -> None:
    """Adds what clients of the host do."""
    spec = document.spec
    host = full_name(spec.host, document.namespace, mesh["settings"]["domain"])
    chosen = spec.workload_selector
    mesh["traffic_policies"].append(
        {
            "origin": document.origin(),
            "host": host,
            "workload_selector": selector(chosen) if chosen is not None else None,
            "export_to": export_to(spec.export_to),
            "created": document.created,
            "policy": _policy(spec.traffic_policy),
            "subsets": [_subset(subset) for subset in spec.subsets],
        }
    )


def _subset(written: Subset) -> resources.Subset:
    return {
        "name": written.name,
        "labels": dict(written.labels),
        "policy": _policy(written.traffic_policy),
    }


def _policy(written: TrafficPolicy | None) -> Policy:
    if written is None:
        return _blocks(TrafficPolicy())
    policy = _blocks(written)
    policy["ports"] = [(item.port.number, _blocks(item)) for item in written.port_level_settings]
    return policy


def _blocks(written: TrafficPolicy | PortPolicy) -> Policy:
    return {
        "load_balancer": _load_balancer(written.load_balancer),
        "connection_pool": _connection_pool(written.connection_pool),
        "outlier_detection": _outlier_detection(written.outlier_detection),
        "tls": _tls(written.tls),
        "ports": [],
    }


def _load_balancer(written: LoadBalancer | None) -> Balancing | None:
    if written is None:
        return None
    return _BALANCING.get(written.simple or "", "least_request")


def _connection_pool(written: ConnectionPool | None) -> resources.ConnectionPool | None:
    """Returns the limits; 0 cannot be told from "not said", as in Istio."""
    if written is None:
        return None
    tcp, http = written.tcp or TcpPool(), written.http or HttpPool()
    alive = tcp.tcp_keepalive
    return {
        "max_connections": tcp.max_connections or None,
        "connect_timeout_ms": tcp.connect_timeout,
        "tcp_idle_timeout_ms": tcp.idle_timeout,
        "max_connection_duration_ms": tcp.max_connection_duration,
        "keepalive": _keepalive(alive.probes, alive.time, alive.interval) if alive else None,
        "max_pending_requests": http.http1_max_pending_requests or None,
        "max_requests": http.http2_max_requests or None,
        "max_requests_per_connection": http.max_requests_per_connection or None,
        "max_retries": http.max_retries or None,
        "http_idle_timeout_ms": http.idle_timeout,
        "max_concurrent_streams": http.max_concurrent_streams or None,
        "h2_upgrade": _UPGRADES[http.h2_upgrade_policy],
        "use_client_protocol": http.use_client_protocol,
    }


def _keepalive(probes: int, time_ms: int, interval_ms: int) -> tuple[int, int, int]:
    """Returns the probes, and the times in seconds, rounded up: 0 would be the system's."""
    return probes, -(-time_ms // 1000), -(-interval_ms // 1000)


def _outlier_detection(written: OutlierDetection | None) -> resources.OutlierDetection | None:
    if written is None:
        return None
    errors = written.consecutive_5xx_errors
    local = written.consecutive_local_origin_failures
    return {
        "consecutive_5xx": _CONSECUTIVE if errors is None else errors,
        "consecutive_gateway_errors": (
            written.consecutive_gateway_errors or written.consecutive_errors or 0
        ),
        "consecutive_local_failures": _CONSECUTIVE if local is None else local,
        "split_local_errors": written.split_external_local_origin_errors,
        "interval_ms": written.interval or _INTERVAL_MS,
        "base_ejection_ms": written.base_ejection_time or _BASE_EJECTION_MS,
        "max_ejection_percent": written.max_ejection_percent or _MAX_EJECTION_PERCENT,
        "min_health_percent": written.min_health_percent,
    }


def _tls(
    written: ClientTls | None,
) -> Literal["disable"] | resources.IstioMutualTls | resources.OriginateTls | None:
    """Returns the TLS towards the host; any block at all turns automatic mutual TLS off."""
    if written is None:
        return None
    if written.mode == "DISABLE":
        return "disable"
    names, sni = list(written.subject_alt_names), written.sni or None
    if written.mode == "ISTIO_MUTUAL":
        return {"istio_mutual": {"subject_alt_names": names, "sni": sni}}
    is_mutual = written.mode == "MUTUAL"
    return {
        "originate": {
            "client_certificate": (written.client_certificate or None) if is_mutual else None,
            "private_key": (written.private_key or None) if is_mutual else None,
            "ca_certificates": written.ca_certificates or None,
            "subject_alt_names": names,
            "sni": sni,
            "insecure_skip_verify": written.insecure_skip_verify or False,
        }
    }
