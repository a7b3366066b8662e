"""What a VirtualService's rule does with a request."""

from typing import Annotated, Literal, Self, TypeAlias, get_args

from pydantic import Field, model_validator

from meshcore.config.models.base import (
    Count,
    DurationMs,
    Model,
    Percent,
    PortNumber,
    PositiveMs,
    Regex,
    StringMatch,
    refusal,
    require_one,
)

Status: TypeAlias = Annotated[int, Field(ge=200, le=599)]

GrpcStatus: TypeAlias = Literal[
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
    "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
    "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
]  # fmt: skip
"""Names of gRPC's statuses, in the order of their codes. Source: gRPC status codes."""
GRPC_STATUSES: tuple[GrpcStatus, ...] = get_args(GrpcStatus)

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
    grpc_status: GrpcStatus | None = None
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
