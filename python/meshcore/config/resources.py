"""The mesh model as Python makes it: the JSON of `meshcore-model`, field by field.

Source: `crates/meshcore-model/src`. Enums are written as serde does: a plain variant is its name,
a variant with a value is an object with the name as its only key.
"""

from typing import Literal, TypeAlias, TypedDict

Labels: TypeAlias = dict[str, str]
StringMatch: TypeAlias = Literal["present"] | dict[str, str]
PathMatch: TypeAlias = dict[str, str]
ExportTo: TypeAlias = Literal["all", "own", "nobody"] | dict[str, str]
Protocol: TypeAlias = Literal["http", "http2", "grpc", "tls", "tcp", "detect"]
MtlsMode: TypeAlias = Literal["disable", "permissive", "strict"]


class Origin(TypedDict):
    """The document a resource was compiled from."""

    kind: str
    namespace: str
    name: str
    file: str
    line: int


class ServicePort(TypedDict):
    """One port of a service."""

    number: int
    name: str
    protocol: Protocol
    target_port: int | None
    target_port_name: str | None


class Workload(TypedDict):
    """A running instance of an application."""

    origin: Origin
    name: str
    namespace: str
    address: str
    ports: dict[str, int]
    labels: Labels
    service_account: str
    locality: str
    weight: int
    mtls: bool
    inbound_port: int | None
    hbone_port: int | None


class Service(TypedDict):
    """A name that clients call."""

    origin: Origin
    host: str
    name: str
    namespace: str
    ports: list[ServicePort]
    addresses: list[str]
    location: Literal["external", "internal"]
    resolution: Literal["none", "static", "dns", "dns_round_robin"]
    export_to: list[ExportTo]
    subject_alt_names: list[str]
    selector: Labels | None
    endpoints: list[Workload]
    created: str


class HeaderEdits(TypedDict):
    """Changes to header fields."""

    set: list[tuple[str, str]]
    add: list[tuple[str, str]]
    remove: list[str]


class Destination(TypedDict):
    """One place a request may be sent to."""

    host: str
    subset: str | None
    port: int | None
    weight: int
    request_headers: HeaderEdits
    response_headers: HeaderEdits


class ValueMatch(TypedDict):
    """A match on a header field or a query parameter."""

    name: str
    value: StringMatch


class HttpMatch(TypedDict):
    """Conditions that must all hold."""

    name: str
    path: PathMatch | None
    ignore_path_case: bool
    scheme: StringMatch | None
    method: StringMatch | None
    authority: StringMatch | None
    headers: list[ValueMatch]
    without_headers: list[ValueMatch]
    query: list[ValueMatch]
    port: int | None
    source_labels: Labels
    source_namespace: str | None
    gateways: list[str]


class Redirect(TypedDict):
    """A redirect."""

    status: int
    path: str | None
    prefix: str | None
    authority: str | None
    port: int | None
    default_port: bool
    scheme: str | None


class Respond(TypedDict):
    """An answer given by the sidecar itself."""

    status: int
    body: str


class Forward(TypedDict):
    """`Action::Forward`."""

    forward: list[Destination]


class RedirectAction(TypedDict):
    """`Action::Redirect`."""

    redirect: Redirect


class RespondAction(TypedDict):
    """`Action::Respond`."""

    respond: Respond


class Rewrite(TypedDict):
    """Change of a request before it is forwarded."""

    path: str | None
    authority: str | None
    regex: tuple[str, str] | None


class Retries(TypedDict):
    """When and how often a failed request is tried again."""

    attempts: int
    per_try_timeout_ms: int | None
    on: list[str]
    statuses: list[int]
    backoff_ms: int
    avoid_previous_hosts: bool


class Fault(TypedDict):
    """A fault injected on purpose; shares are parts per million."""

    delay: tuple[int, int] | None
    abort: tuple[int, int] | None
    abort_grpc: tuple[int, int] | None


class Mirror(TypedDict):
    """Where a copy of a request is sent."""

    destination: Destination
    share_ppm: int


class HttpRule(TypedDict):
    """One rule for HTTP requests."""

    name: str
    line: int
    matches: list[HttpMatch]
    action: Forward | RedirectAction | RespondAction
    rewrite: Rewrite | None
    timeout_ms: int | None
    retries: Retries
    fault: Fault | None
    mirrors: list[Mirror]
    request_headers: HeaderEdits
    response_headers: HeaderEdits


class TcpMatch(TypedDict):
    """Conditions on a connection."""

    destination_subnets: list[str]
    port: int | None
    source_labels: Labels
    source_namespace: str | None
    gateways: list[str]


class TcpRule(TypedDict):
    """One rule for opaque TCP connections."""

    line: int
    matches: list[TcpMatch]
    destinations: list[Destination]


class Route(TypedDict):
    """The rules for some hosts."""

    origin: Origin
    hosts: list[str]
    gateways: list[str]
    export_to: list[ExportTo]
    created: str
    http: list[HttpRule]
    tcp: list[TcpRule]


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


class PeerAuth(TypedDict):
    """What a workload accepts from its peers."""

    origin: Origin
    selector: Labels
    mode: MtlsMode | None
    ports: dict[str, MtlsMode | None]
    created: str


class TextMatchers(TypedDict):
    """`Matchers<StringMatch>`."""

    any: list[StringMatch]
    none: list[StringMatch]


class BlockMatchers(TypedDict):
    """`Matchers<String>`: IPs and CIDRs."""

    any: list[str]
    none: list[str]


class PortMatchers(TypedDict):
    """`Matchers<u16>`."""

    any: list[int]
    none: list[int]


class ServiceAccount(TypedDict):
    """A service account."""

    namespace: str
    name: str


class AccountMatchers(TypedDict):
    """`Matchers<ServiceAccount>`."""

    any: list[ServiceAccount]
    none: list[ServiceAccount]


class Peer(TypedDict):
    """Who calls (`Source` in the model); all fields must hold."""

    principals: TextMatchers
    request_principals: TextMatchers
    namespaces: TextMatchers
    service_accounts: AccountMatchers
    ip_blocks: BlockMatchers
    remote_ip_blocks: BlockMatchers


class Operation(TypedDict):
    """What is called; all fields must hold."""

    hosts: TextMatchers
    ports: PortMatchers
    methods: TextMatchers
    paths: TextMatchers


class Condition(TypedDict):
    """A further condition on an attribute."""

    key: str | dict[str, str] | dict[str, list[str]]
    values: TextMatchers


AuthorizationRule = TypedDict(
    "AuthorizationRule",
    {"line": int, "from": list[Peer], "to": list[Operation], "when": list[Condition]},
)


class Authorization(TypedDict):
    """Rules that allow or deny requests to the selected workloads."""

    origin: Origin
    selector: Labels
    action: Literal["allow", "deny"]
    dry_run: bool
    rules: list[AuthorizationRule]


class AccessLog(TypedDict):
    """Where the access log goes."""

    path: str
    format: Literal["json"] | dict[str, str | None]


class Settings(TypedDict):
    """What holds for the whole mesh."""

    trust_domain: str
    trust_domain_aliases: list[str]
    domain: str
    root_namespace: str
    outbound_policy: Literal["allow_any", "registry_only"]
    auto_mtls: bool
    connect_timeout_ms: int
    detection_timeout_ms: int
    default_retries: Retries
    path_normalization: Literal["none", "base", "merge_slashes", "decode_and_merge_slashes"]
    access_log: AccessLog | None


class Mesh(TypedDict):
    """What a mesh is made of, as one revision."""

    revision: int
    settings: Settings
    services: list[Service]
    workloads: list[Workload]
    routes: list[Route]
    traffic_policies: list[TrafficPolicy]
    peer_auths: list[PeerAuth]
    authorizations: list[Authorization]
