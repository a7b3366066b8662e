"""Istio's ServiceEntry: services that Kubernetes does not know."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from meshcore.config.addresses import is_host
from meshcore.config.models import Kind
from meshcore.config.models.base import Block, Model, PortNumber, Wanted, refusal
from meshcore.config.models.workload_entry import WorkloadEntry

# Source: Istio's protocol names (pkg/config/protocol), in any case.
PROTOCOLS = frozenset(
    {
        "GRPC", "GRPC-WEB", "HTTP", "HTTP_PROXY", "HTTP2", "HTTPS", "TCP", "TLS", "UDP", "MONGO",
        "REDIS", "MYSQL", "HBONE",
    }
)  # fmt: skip


def _read_host(value: str) -> str:
    if value == "*":
        raise refusal("hostname cannot be wildcard", hint="write *.DOMAIN")
    if not is_host(value, wildcard=True):
        raise refusal(f"{value[:60]!r} is not a host name", hint="only *. at the start may be open")
    return value


def read_protocol(value: str) -> str:
    """Returns a protocol's name in upper case.

    Raises:
        PydanticCustomError: No such protocol is known.
    """
    if value and value.upper() not in PROTOCOLS:
        allowed = ", ".join(sorted(PROTOCOLS))
        raise refusal(f"unknown protocol {value[:40]!r}", hint=f"allowed: {allowed}")
    return value.upper()


EntryHost: TypeAlias = Annotated[str, AfterValidator(_read_host)]


class EntryPort(Model):
    """A port of the service."""

    number: Annotated[int, Field()]
    name: str = Field(min_length=1)
    protocol: Annotated[str, AfterValidator(read_protocol)] = ""
    target_port: PortNumber | None = None

    @model_validator(mode="after")
    def _number_is_a_port(self) -> Self:
        if not 1 <= self.number <= 65535:  # noqa: PLR2004 - ports have 16 bits
            raise refusal("port must be between 1-65535", "number")
        return self


class WorkloadSelector(Model):
    """Workloads by their labels; Istio's older spelling."""

    labels: Wanted = {}


class ServiceEntry(Model):
    """Hosts with their ports, and how their endpoints are found."""

    hosts: Annotated[list[EntryHost], Field(min_length=1, max_length=256)]
    addresses: list[Block] = []
    ports: list[EntryPort] = []
    location: Literal["MESH_EXTERNAL", "MESH_INTERNAL"] = "MESH_EXTERNAL"
    resolution: Literal["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"] = "NONE"
    endpoints: list[WorkloadEntry] = []
    workload_selector: WorkloadSelector | None = None
    export_to: list[str] = []
    subject_alt_names: list[str] = []

    @model_validator(mode="after")
    def _ports_are_told_apart(self) -> Self:
        names: set[str] = set()
        numbers: set[int] = set()
        for index, port in enumerate(self.ports):
            if port.name in names:
                raise refusal(
                    f"Duplicate value: the port name {port.name!r}", "ports", index, "name"
                )
            if port.number in numbers:
                raise refusal(f"Duplicate value: the port {port.number}", "ports", index, "number")
            names.add(port.name)
            numbers.add(port.number)
        return self

    @model_validator(mode="after")
    def _endpoints_fit_the_resolution(self) -> Self:
        if self.endpoints and self.resolution == "NONE":
            raise refusal(
                "NONE mode cannot set endpoints", "endpoints", hint="add resolution: STATIC or DNS"
            )
        if self.endpoints and self.workload_selector is not None:
            raise refusal("only one of workloadSelector, endpoints may be given", "endpoints")
        return self

    @model_validator(mode="after")
    def _endpoint_ports_exist(self) -> Self:
        names = {port.name for port in self.ports}
        for index, endpoint in enumerate(self.endpoints):
            for name in endpoint.ports:
                if name not in names:
                    raise refusal(
                        f"the endpoint names the port {name!r}, which the entry does not have",
                        "endpoints", index, "ports", name,
                        hint=f"ports: {', '.join(sorted(names))}",
                    )  # fmt: skip
        return self


KIND = Kind(
    "ServiceEntry",
    groups=("networking.istio.io",),
    versions=("v1", "v1beta1", "v1alpha3"),
    spec=ServiceEntry,
)
