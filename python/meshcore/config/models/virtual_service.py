"""Istio's VirtualService: where requests and connections go."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from meshcore.config.models import Kind
from meshcore.config.models.base import (
    Block,
    Count,
    DurationMs,
    Host,
    Labels,
    Model,
    Percent,
    PortNumber,
    PortSelector,
    PositiveMs,
    Regex,
    StringMatch,
    refusal,
    require_one,
)

Status: TypeAlias = Annotated[int, Field(ge=200, le=599)]
Matches: TypeAlias = dict[str, StringMatch]

GRPC_STATUSES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
    "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
    "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
"""Names of gRPC's statuses; the index is the code. Source: gRPC status codes."""

RETRY_ON = frozenset(
    {
        "5xx", "gateway-error", "reset", "reset-before-request", "connect-failure",
        "retriable-4xx", "refused-stream", "cancelled", "deadline-exceeded", "internal",
        "resource-exhausted", "unavailable",
    }
)  # fmt: skip
"""Classes of failures that may be tried again. Source: Envoy's `x-envoy-retry-on`."""
RETRY_ON_IGNORED = frozenset(
    {
        "retriable-status-codes",
        "retriable-headers",
        "envoy-ratelimited",
        "http3-post-connect-failure",
    }
)
"""Classes that are known and ask for nothing here."""


class Destination(Model):
    """A service, or a subset of it."""

    host: Annotated[Host, Field(min_length=1)]
    subset: str | None = None
    port: PortSelector | None = None


class HeaderOperations(Model):
    """Changes to header fields."""

    set: Labels = {}
    add: Labels = {}
    remove: list[str] = []

    @model_validator(mode="after")
    def _names_and_values_are_sound(self) -> Self:
        for operation, edits in (("set", self.set), ("add", self.add)):
            for name, value in edits.items():
                if not _is_field_name(name):
                    raise refusal(f"{name[:60]!r} is not a header name", operation, name)
                if any(c in value for c in "\r\n\0"):
                    raise refusal("a header value cannot have a line break", operation, name)
        for index, name in enumerate(self.remove):
            if not _is_field_name(name):
                raise refusal(f"{name[:60]!r} is not a header name", "remove", index)
        return self


class Headers(Model):
    """Changes to the header of requests and responses."""

    request: HeaderOperations | None = None
    response: HeaderOperations | None = None


class RouteDestination(Model):
    """A destination with its share."""

    destination: Destination
    weight: Annotated[int, Field(ge=0, le=2_147_483_647)] | None = None
    headers: Headers | None = None


class HttpMatch(Model):
    """Conditions on a request that must all hold."""

    name: str = ""
    uri: StringMatch | None = None
    ignore_uri_case: bool = False
    scheme: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: Matches = {}
    without_headers: Matches = {}
    query_params: Matches = {}
    port: PortNumber | None = None
    source_labels: Labels = {}
    source_namespace: str | None = None
    gateways: list[str] = []
    stat_prefix: str = ""


class HttpRedirect(Model):
    """An answer that sends the client elsewhere."""

    uri: str | None = None
    prefix_rewrite: str | None = None
    authority: str | None = None
    port: PortNumber | None = None
    derive_port: Literal["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"] | None = None
    scheme: str | None = None
    redirect_code: Literal[301, 302, 303, 307, 308] | None = None

    @model_validator(mode="after")
    def _says_each_once(self) -> Self:
        require_one(self, "uri", "prefix_rewrite")
        require_one(self, "port", "derive_port")
        return self


class HttpBody(Model):
    """A body, as text or as base64."""

    string: str | None = None
    bytes: str | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        require_one(self, "string", "bytes")
        return self


class DirectResponse(Model):
    """An answer given without asking a service."""

    status: Status
    body: HttpBody | None = None


class Delegate(Model):
    """Another VirtualService that has the rules."""

    name: str = ""
    namespace: str = ""


class RegexRewrite(Model):
    """What is searched in a path, and put in its place."""

    match: Regex
    rewrite: str


class HttpRewrite(Model):
    """Change of a request before it is forwarded."""

    uri: str | None = None
    authority: str | None = None
    uri_regex_rewrite: RegexRewrite | None = None

    @model_validator(mode="after")
    def _says_the_path_once(self) -> Self:
        require_one(self, "uri", "uri_regex_rewrite")
        return self


class HttpRetry(Model):
    """When and how often a failed request is tried again."""

    attempts: Count = 0
    per_try_timeout: DurationMs | None = None
    retry_on: str = ""
    retry_remote_localities: bool | None = None
    retry_ignore_previous_hosts: bool | None = None
    backoff: PositiveMs | None = None

    @model_validator(mode="after")
    def _conditions_are_known(self) -> Self:
        for word in self.conditions():
            if word in RETRY_ON or word in RETRY_ON_IGNORED:
                continue
            if not (word.isdecimal() and 100 <= int(word[:4]) <= 599):  # noqa: PLR2004 - statuses
                allowed = ", ".join(sorted(RETRY_ON))
                raise refusal(
                    f"unknown retry condition {word[:40]!r}",
                    "retryOn",
                    hint=f"allowed: statuses, {allowed}",
                )
        return self

    def conditions(self) -> list[str]:
        """Returns the words of `retryOn`."""
        return [word for part in self.retry_on.split(",") if (word := part.strip())]


class Delay(Model):
    """Requests are held back."""

    percentage: Percent | None = None
    percent: Annotated[int, Field(ge=0, le=100)] | None = None
    fixed_delay: PositiveMs | None = None
    exponential_delay: DurationMs | None = None

    @model_validator(mode="after")
    def _has_a_time(self) -> Self:
        if self.fixed_delay is None:
            raise refusal("a delay needs fixedDelay")
        return self


class Abort(Model):
    """Requests are answered with a failure."""

    percentage: Percent | None = None
    http_status: Status | None = None
    grpc_status: Literal[GRPC_STATUSES] | None = None  # type: ignore[valid-type]
    http2_error: str | None = None

    @model_validator(mode="after")
    def _has_one_failure(self) -> Self:
        if self.http2_error is not None:
            raise refusal("http2Error is not supported, use httpStatus or grpcStatus", "http2Error")
        require_one(self, "http_status", "grpc_status", needed=True)
        return self


class Fault(Model):
    """Faults that are injected on purpose."""

    delay: Delay | None = None
    abort: Abort | None = None


class Mirror(Model):
    """Where copies are sent."""

    destination: Destination
    percentage: Percent | None = None


class Cors(Model):
    """What browsers are told of other origins."""

    allow_origin: list[str] = []
    allow_origins: list[StringMatch] = []
    allow_methods: list[str] = []
    allow_headers: list[str] = []
    expose_headers: list[str] = []
    max_age: DurationMs | None = None
    allow_credentials: bool | None = None
    unmatched_preflights: Literal["UNSPECIFIED", "FORWARD", "IGNORE"] = "UNSPECIFIED"


class HttpRoute(Model):
    """One rule for HTTP requests."""

    name: str = ""
    match: list[HttpMatch] = []
    route: list[RouteDestination] = []
    redirect: HttpRedirect | None = None
    direct_response: DirectResponse | None = None
    delegate: Delegate | None = None
    rewrite: HttpRewrite | None = None
    timeout: DurationMs | None = None
    retries: HttpRetry | None = None
    fault: Fault | None = None
    mirror: Destination | None = None
    mirror_percent: Annotated[int, Field(ge=0, le=100)] | None = None
    mirror_percentage: Percent | None = None
    mirrors: list[Mirror] = []
    cors_policy: Cors | None = None
    headers: Headers | None = None

    @model_validator(mode="after")
    def _does_one_thing(self) -> Self:
        actions = {
            "route": bool(self.route),
            "redirect": self.redirect is not None,
            "directResponse": self.direct_response is not None,
            "delegate": self.delegate is not None,
        }
        given = [name for name, is_given in actions.items() if is_given]
        if not given:
            raise refusal("the rule does nothing", hint="add route, redirect or directResponse")
        if len(given) > 1:
            raise refusal(f"only one of {', '.join(given)} may be given", given[1])
        return self

    @model_validator(mode="after")
    def _weights_are_of_use(self) -> Self:
        check_weights(self.route)
        return self

    @model_validator(mode="after")
    def _edits_fit_the_action(self) -> Self:
        if self.rewrite is not None and self.redirect is not None:
            raise refusal("a redirect cannot have a rewrite", "rewrite")
        if self.mirror is not None and self.mirrors:
            raise refusal("only one of mirror, mirrors may be given", "mirrors")
        if self.redirect and self.redirect.prefix_rewrite is not None:
            self._check_prefix()
        return self

    def _check_prefix(self) -> None:
        if not self.match or any(m.uri is None or m.uri.prefix is None for m in self.match):
            raise refusal(
                "prefixRewrite needs a uri.prefix in each match", "redirect", "prefixRewrite"
            )


class L4Match(Model):
    """Conditions on a connection that must all hold."""

    destination_subnets: list[Block] = []
    port: PortNumber | None = None
    source_subnet: str | None = None
    source_labels: Labels = {}
    gateways: list[str] = []
    source_namespace: str | None = None


class TcpRoute(Model):
    """One rule for opaque TCP connections."""

    match: list[L4Match] = []
    route: list[RouteDestination] = []

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Self:
        if not self.route:
            raise refusal("a tcp rule needs a route")
        check_weights(self.route)
        return self


class TlsMatch(L4Match):
    """Conditions on a TLS connection that must all hold."""

    sni_hosts: Annotated[list[str], Field(min_length=1)]


class TlsRoute(Model):
    """One rule for TLS connections that are not terminated."""

    match: Annotated[list[TlsMatch], Field(min_length=1)]
    route: list[RouteDestination] = []


class VirtualService(Model):
    """The rules for some hosts."""

    hosts: list[Host] = []
    gateways: list[str] = []
    http: list[HttpRoute] = []
    tls: list[TlsRoute] = []
    tcp: list[TcpRoute] = []
    export_to: list[str] = []

    @model_validator(mode="after")
    def _routes_something(self) -> Self:
        if not (self.http or self.tls or self.tcp):
            raise refusal("http, tcp or tls must be given")
        if any(host == "*" for host in self.hosts) and self.is_for_sidecars():
            raise refusal("wildcard host * is not allowed for virtual services bound to the mesh",
                          "hosts", hint="write the hosts, or gateways")  # fmt: skip
        return self

    def is_for_sidecars(self) -> bool:
        """Whether sidecars use it, rather than only gateways."""
        return not self.gateways or "mesh" in self.gateways


def check_weights(route: list[RouteDestination]) -> None:
    """Checks that some destination of several gets requests.

    Raises:
        PydanticCustomError: No destination has a weight.
    """
    if len(route) > 1 and not sum(item.weight or 0 for item in route):
        raise refusal("the weights add up to 0, so that no request goes anywhere", "route",
                      hint="give each destination a weight; one without is 0")  # fmt: skip


def _is_field_name(name: str) -> bool:
    """Whether `name` is a header field's, or a pseudo header's. Source: RFC 9110 section 5.6.2."""
    token = name.removeprefix(":")
    return bool(token) and all(
        c.isascii() and (c.isalnum() or c in "!#$%&'*+-.^_`|~") for c in token
    )


KIND = Kind(
    "VirtualService",
    groups=("networking.istio.io",),
    versions=("v1", "v1beta1", "v1alpha3"),
    spec=VirtualService,
)
