"""Istio's DestinationRule: how clients talk to a host."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from meshcore.config.addresses import is_dns_label
from meshcore.config.models import Kind
from meshcore.config.models.base import (
    Count,
    DurationMs,
    Host,
    Labels,
    LabelSelector,
    Model,
    PortSelector,
    PositiveMs,
    Share,
    refusal,
    require_one,
)


def _read_subset_name(value: str) -> str:
    if not is_dns_label(value):
        raise refusal(
            f"{value[:60]!r} is not a subset name, use lower-case letters, digits and '-'"
        )
    return value


SubsetName: TypeAlias = Annotated[str, AfterValidator(_read_subset_name)]
WholePercent: TypeAlias = Annotated[int, Field(ge=0, le=100)]


class HttpCookie(Model):
    """A cookie that is hashed."""

    name: str
    path: str | None = None
    ttl: DurationMs | None = None
    attributes: list[dict[str, str]] = []


class RingHash(Model):
    """Consistent hashing by a ring."""

    minimum_ring_size: Count = 1024


class Maglev(Model):
    """Consistent hashing by Maglev's table."""

    table_size: Annotated[int, Field(ge=0, lt=5_000_011)] = 65_537


class ConsistentHash(Model):
    """The same key goes to the same endpoint."""

    http_header_name: str | None = None
    http_cookie: HttpCookie | None = None
    use_source_ip: bool | None = None
    http_query_parameter_name: str | None = None
    ring_hash: RingHash | None = None
    maglev: Maglev | None = None
    minimum_ring_size: Count | None = None

    @model_validator(mode="after")
    def _has_one_key(self) -> Self:
        require_one(
            self, "http_header_name", "http_cookie", "use_source_ip", "http_query_parameter_name",
            needed=True,
        )  # fmt: skip
        require_one(self, "ring_hash", "maglev")
        return self


class Distribute(Model):
    """Where traffic from a place goes, in percent."""

    from_: str = Field(default="", alias="from")
    to: dict[str, WholePercent] = {}


class Failover(Model):
    """Where traffic from a region goes when its endpoints fail."""

    from_: str = Field(default="", alias="from")
    to: str = ""


class LocalityLoadBalancing(Model):
    """Preference of near endpoints."""

    distribute: list[Distribute] = []
    failover: list[Failover] = []
    failover_priority: list[str] = []
    enabled: bool | None = None

    @model_validator(mode="after")
    def _has_one_way(self) -> Self:
        if sum(map(bool, (self.distribute, self.failover, self.failover_priority))) > 1:
            allowed = "distribute, failover, failoverPriority"
            raise refusal(f"only one of {allowed} may be given")
        for index, item in enumerate(self.distribute):
            if sum(item.to.values()) != 100:  # noqa: PLR2004 - percent
                raise refusal("the shares must add up to 100", "distribute", index, "to")
        return self


class ZoneAware(Model):
    """Preference of the same zone while it has room."""

    enabled: bool | None = None
    failover: list[Failover] = []
    failover_priority: list[str] = []
    min_cluster_size: Count | None = None


class Warmup(Model):
    """New endpoints get their share little by little."""

    duration: PositiveMs
    minimum_percent: Share = 10.0
    aggression: Annotated[float, Field(ge=1)] = 1.0


class LoadBalancer(Model):
    """How an endpoint is chosen."""

    simple: (
        Literal[
            "UNSPECIFIED", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST", "LEAST_CONN"
        ]
        | None
    ) = None
    consistent_hash: ConsistentHash | None = None
    locality_lb_setting: LocalityLoadBalancing | None = None
    zone_aware_lb_setting: ZoneAware | None = None
    warmup: Warmup | None = None
    warmup_duration_secs: DurationMs | None = None

    @model_validator(mode="after")
    def _has_one_way(self) -> Self:
        require_one(self, "simple", "consistent_hash")
        return self


class TcpKeepalive(Model):
    """Probes of idle TCP connections; 0 is the system's value."""

    probes: Count = 0
    time: DurationMs = 0
    interval: DurationMs = 0


class TcpPool(Model):
    """Limits on connections."""

    max_connections: Count | None = None
    connect_timeout: PositiveMs | None = None
    tcp_keepalive: TcpKeepalive | None = None
    max_connection_duration: PositiveMs | None = None
    idle_timeout: DurationMs | None = None


class HttpKeepalive(Model):
    """Pings on HTTP/2 connections."""

    interval: DurationMs | None = None
    timeout: DurationMs | None = None


class HttpPool(Model):
    """Limits on requests."""

    http1_max_pending_requests: Count | None = Field(default=None, alias="http1MaxPendingRequests")
    http2_max_requests: Count | None = Field(default=None, alias="http2MaxRequests")
    max_requests_per_connection: Count | None = None
    max_retries: Count | None = None
    idle_timeout: DurationMs | None = None
    h2_upgrade_policy: Literal["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"] | None = Field(
        default=None, alias="h2UpgradePolicy"
    )
    use_client_protocol: bool = False
    max_concurrent_streams: Count | None = None
    http2_keep_alive: HttpKeepalive | None = Field(default=None, alias="http2KeepAlive")


class ConnectionPool(Model):
    """Limits on connections and requests."""

    tcp: TcpPool | None = None
    http: HttpPool | None = None


class OutlierDetection(Model):
    """When an endpoint is taken out for a while."""

    consecutive_errors: Count | None = None
    consecutive_5xx_errors: Count | None = Field(default=None, alias="consecutive5xxErrors")
    consecutive_gateway_errors: Count | None = None
    split_external_local_origin_errors: bool = False
    consecutive_local_origin_failures: Count | None = None
    interval: PositiveMs | None = None
    base_ejection_time: PositiveMs | None = None
    max_ejection_percent: WholePercent = 0
    min_health_percent: WholePercent = 0
    outlier_detection_http_error_codes: list[str] = []


class ClientTls(Model):
    """TLS towards the host."""

    mode: Literal["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"] = "DISABLE"
    client_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    credential_name: str = ""
    subject_alt_names: list[str] = []
    sni: str = ""
    insecure_skip_verify: bool | None = None
    ca_crl: str = ""

    @model_validator(mode="after")
    def _has_what_its_mode_needs(self) -> Self:
        files = {
            "clientCertificate": self.client_certificate,
            "privateKey": self.private_key,
        }
        if self.mode == "MUTUAL" and not self.credential_name:
            missing = [name for name, path in files.items() if not path]
            if missing:
                raise refusal(f"the mode MUTUAL needs {' and '.join(missing)}", "mode")
        if self.mode == "ISTIO_MUTUAL":
            files |= {
                "caCertificates": self.ca_certificates,
                "credentialName": self.credential_name,
            }
            for name, path in files.items():
                if path:
                    raise refusal(f"the mode ISTIO_MUTUAL brings its own {name}", name)
        return self


class Tunnel(Model):
    """Connections are carried through a proxy."""

    protocol: Literal["CONNECT", "POST"] = "CONNECT"
    target_host: str
    target_port: Count


class ProxyProtocol(Model):
    """The client's address is sent ahead."""

    version: Literal["V1", "V2"] = "V1"


class RetryBudget(Model):
    """How many of the requests may be retries."""

    percent: Share | None = None
    min_retry_concurrency: Count | None = None
    budget_interval: DurationMs | None = None


class PortPolicy(Model):
    """Policy of one port. It replaces the others and never inherits."""

    port: PortSelector
    load_balancer: LoadBalancer | None = None
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTls | None = None


class TrafficPolicy(Model):
    """Blocks of policy."""

    load_balancer: LoadBalancer | None = None
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTls | None = None
    port_level_settings: list[PortPolicy] = []
    tunnel: Tunnel | None = None
    proxy_protocol: ProxyProtocol | None = None
    retry_budget: RetryBudget | None = None


class Subset(Model):
    """A named group of the host's endpoints."""

    name: SubsetName
    labels: Labels = {}
    traffic_policy: TrafficPolicy | None = None


class DestinationRule(Model):
    """What clients of a host do."""

    host: Annotated[Host, Field(min_length=1)]
    traffic_policy: TrafficPolicy | None = None
    subsets: list[Subset] = []
    export_to: list[str] = []
    workload_selector: LabelSelector | None = None

    @model_validator(mode="after")
    def _subsets_are_told_apart(self) -> Self:
        names: set[str] = set()
        for index, subset in enumerate(self.subsets):
            if subset.name in names:
                raise refusal(
                    f"Duplicate value: the subset {subset.name!r}", "subsets", index, "name"
                )
            names.add(subset.name)
        return self


KIND = Kind(
    "DestinationRule",
    groups=("networking.istio.io",),
    versions=("v1", "v1beta1", "v1alpha3"),
    spec=DestinationRule,
)
