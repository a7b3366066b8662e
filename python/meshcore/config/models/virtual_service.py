"""Istio's VirtualService: where requests and connections go."""

from typing import Annotated, Self, TypeAlias

from pydantic import Field, model_validator

from meshcore.config.models import Kind
from meshcore.config.models.base import (
    Block,
    DurationMs,
    Host,
    Labels,
    Model,
    Percent,
    PortNumber,
    PortSelector,
    StringMatch,
    refusal,
)
from meshcore.config.models.http_action import (
    Cors,
    DirectResponse,
    Fault,
    HttpRedirect,
    HttpRetry,
    HttpRewrite,
)

Matches: TypeAlias = dict[str, StringMatch]


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


class Delegate(Model):
    """Another VirtualService that has the rules."""

    name: str = ""
    namespace: str = ""


class Mirror(Model):
    """Where copies are sent."""

    destination: Destination
    percentage: Percent | None = None


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
