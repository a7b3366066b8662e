"""How a client talks to a service: `traffic.rs`."""

from typing import Literal, TypedDict

from meshcore.config.resources.origin import ExportTo, Labels, Origin


class ConnectionPool(TypedDict):
    """Limits on connections and requests towards a host."""

    max_connections: int | None
    connect_timeout_ms: int | None
    tcp_idle_timeout_ms: int | None
    max_connection_duration_ms: int | None
    keepalive: tuple[int, int, int] | None
    max_pending_requests: int | None
    max_requests: int | None
    max_requests_per_connection: int | None
    max_retries: int | None
    http_idle_timeout_ms: int | None
    max_concurrent_streams: int | None
    h2_upgrade: Literal["default", "never", "always"]
    use_client_protocol: bool


class OutlierDetection(TypedDict):
    """When an endpoint is taken out for a while."""

    consecutive_5xx: int
    consecutive_gateway_errors: int
    consecutive_local_failures: int
    split_local_errors: bool
    interval_ms: int
    base_ejection_ms: int
    max_ejection_percent: int
    min_health_percent: int


class IstioMutual(TypedDict):
    """The mesh's own certificate and identities."""

    subject_alt_names: list[str]
    sni: str | None


class TlsOrigination(TypedDict):
    """TLS to a server outside the mesh."""

    client_certificate: str | None
    private_key: str | None
    ca_certificates: str | None
    subject_alt_names: list[str]
    sni: str | None
    insecure_skip_verify: bool


class IstioMutualTls(TypedDict):
    """`ClientTls::IstioMutual`."""

    istio_mutual: IstioMutual


class OriginateTls(TypedDict):
    """`ClientTls::Originate`."""

    originate: TlsOrigination


class Policy(TypedDict):
    """Blocks of policy; `None` is "not said here"."""

    load_balancer: Literal["least_request", "round_robin", "random", "passthrough"] | None
    connection_pool: ConnectionPool | None
    outlier_detection: OutlierDetection | None
    tls: Literal["disable"] | IstioMutualTls | OriginateTls | None
    ports: "list[tuple[int, Policy]]"


class Subset(TypedDict):
    """A named group of a service's endpoints."""

    name: str
    labels: Labels
    policy: Policy


class TrafficPolicy(TypedDict):
    """What clients of a host do."""

    origin: Origin
    host: str
    workload_selector: Labels | None
    export_to: list[ExportTo]
    created: str
    policy: Policy
    subsets: list[Subset]
