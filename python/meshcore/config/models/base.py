"""What the models of all kinds are made of."""

from typing import Annotated, Any, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from meshcore.config.addresses import is_cidr, is_host, is_ip
from meshcore.config.regex import why_refused
from meshcore.errors import InvalidUnit
from meshcore.units import duration_ms


class Model(BaseModel):
    """A part of a document. Fields are read in camelCase and in snake_case, as protojson does."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        defer_build=True,
        protected_namespaces=(),
    )


def refusal(message: str, *at: str | int, hint: str = "") -> PydanticCustomError:
    """Returns the error that a validator raises; `at` leads from its model to what is wrong."""
    return PydanticCustomError(
        "refused", "{message}", {"message": message, "at": list(at), "hint": hint}
    )


def require_one(owner: Model, *names: str, needed: bool = False) -> None:
    """Checks that at most one field (exactly one when `needed`) has a value.

    Raises:
        PydanticCustomError: Several have one, or none has.
    """
    given = [name for name in names if getattr(owner, name) is not None]
    spelled = ", ".join(to_camel(name) for name in names)
    if len(given) > 1:
        raise refusal(f"only one of {spelled} may be given", to_camel(given[1]))
    if needed and not given:
        raise refusal(f"one of {spelled} must be given")


def _read_duration(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise refusal("a duration is needed, such as 10s, 250ms or 1h30m")
    try:
        return duration_ms(str(value)) if isinstance(value, str) else _refuse_bare(value)
    except InvalidUnit as error:
        raise refusal(str(error)) from error


def _refuse_bare(value: float) -> int:
    raise refusal(f"{value} has no unit, write {value}s or {value}ms")


def _positive(value: int) -> int:
    if value < 1:
        raise refusal("must be at least 1ms")
    return value


def _read_regex(value: str) -> str:
    reason = why_refused(value)
    if reason:
        raise refusal(f"not a regular expression that can be used: {reason}")
    return value


def _read_label_value(value: str) -> str:
    if "*" in value:
        raise refusal("wildcard is not supported in selector, write the whole value")
    return value


def _read_name(value: str) -> str:
    if not is_host(value):
        raise refusal(f"{value[:60]!r} is not a name, use letters, digits, '-' and '.'")
    return value


def _read_host(value: str) -> str:
    if value != "*" and not is_ip(value) and not is_host(value, wildcard=True):
        raise refusal(f"{value[:60]!r} is not a host name")
    return value


def _read_block(value: str) -> str:
    if not is_cidr(value):
        raise refusal(f"{value[:60]!r} is not an IP address or CIDR")
    return value


DurationMs: TypeAlias = Annotated[int, BeforeValidator(_read_duration)]
"""Milliseconds, written as a duration with a unit."""
PositiveMs: TypeAlias = Annotated[DurationMs, AfterValidator(_positive)]
"""As `DurationMs`, and not zero."""
PortNumber: TypeAlias = Annotated[int, Field(ge=1, le=65535)]
Count: TypeAlias = Annotated[int, Field(ge=0, le=4_294_967_295)]
Share: TypeAlias = Annotated[float, Field(ge=0, le=100)]
"""Percent."""
Regex: TypeAlias = Annotated[str, AfterValidator(_read_regex)]
Block: TypeAlias = Annotated[str, AfterValidator(_read_block)]
"""IP address or CIDR."""
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=253)]
Host: TypeAlias = Annotated[str, AfterValidator(_read_host)]
Labels: TypeAlias = dict[str, str]
Wanted: TypeAlias = dict[str, Annotated[str, AfterValidator(_read_label_value)]]
"""Labels that a selector wants."""
Ignored: TypeAlias = Any
"""A field that is known and means nothing here."""


class Metadata(Model):
    """Kubernetes' metadata of any document."""

    name: Annotated[str, AfterValidator(_read_name)] = ""
    namespace: Annotated[str, AfterValidator(_read_name)] | None = None
    labels: Labels = {}
    annotations: Labels = {}
    creation_timestamp: str | None = None
    deletion_grace_period_seconds: Ignored = None
    deletion_timestamp: Ignored = None
    finalizers: Ignored = None
    generate_name: Ignored = None
    generation: Ignored = None
    managed_fields: Ignored = None
    owner_references: Ignored = None
    resource_version: Ignored = None
    self_link: Ignored = None
    uid: Ignored = None
    cluster_name: Ignored = None


class StringMatch(Model):
    """A match on text; without a value it asks only that there is one."""

    exact: str | None = None
    prefix: str | None = None
    regex: str | None = None

    @model_validator(mode="after")
    def _means_one_thing(self) -> Self:
        require_one(self, "exact", "prefix", "regex")
        if self.regex not in {None, "*"}:  # "*" is Istio's way to ask for presence
            reason = why_refused(self.regex or "")
            if reason:
                raise refusal(f"not a regular expression that can be used: {reason}", "regex")
        return self


class PortSelector(Model):
    """A port by its number."""

    number: PortNumber


class Percent(Model):
    """A share of requests. Without a value it is none of them."""

    value: Share = 0.0

    def ppm(self) -> int:
        """Returns the share in parts per million."""
        return round(self.value * 10_000)


class LabelSelector(Model):
    """Workloads by their labels."""

    match_labels: Wanted = {}


class TargetRef(Model):
    """The object a policy is for, instead of workloads chosen by labels."""

    group: str = ""
    kind: str
    name: str
    namespace: str | None = None
    section_name: str | None = None
