"""Where requests go: `route.rs`."""

from typing import TypeAlias, TypedDict

from meshcore.config.resources.origin import ExportTo, Labels, Origin, StringMatch

PathMatch: TypeAlias = dict[str, str]


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
    sni_hosts: list[str]
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
