"""Istio's WorkloadGroup: what workloads that register themselves have in common."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from meshcore.config.models import Kind
from meshcore.config.models.base import Labels, Model, PortNumber, refusal, require_one
from meshcore.config.models.workload_entry import WorkloadEntry

# Source: `httpHeaders.name` in Istio's custom resource definition.
_HEADER = re.compile(r"[-_A-Za-z0-9]+", re.ASCII)
# Longest names, in characters. Source: as above.
_MAX_HEADER = 256

Seconds = Annotated[int, Field(ge=0, le=2_147_483_647)]
Threshold = Annotated[int, Field(ge=0, le=2_147_483_647)]


def _read_header(name: str) -> str:
    if len(name) > _MAX_HEADER or not _HEADER.fullmatch(name):
        pattern = "'^[-_A-Za-z0-9]+$'"
        raise refusal(f"in body should match {pattern}: {name[:40]!r} is no name of a header field")
    return name


def _read_command(command: list[str]) -> list[str]:
    if any(not word for word in command):
        raise refusal("has an empty word")
    return command


class HttpHeader(Model):
    """A field of a probe's request."""

    name: Annotated[str, AfterValidator(_read_header)] = ""
    value: str = ""


class HttpProbe(Model):
    """A GET that is to be answered with 200 to 399."""

    path: str = ""
    port: PortNumber
    host: str = ""
    scheme: Literal["", "HTTP", "HTTPS"] = ""
    http_headers: list[HttpHeader] = []


class TcpProbe(Model):
    """A connection that is to be made."""

    host: str = ""
    port: PortNumber


class ExecProbe(Model):
    """A command that is to end with 0."""

    command: Annotated[list[str], AfterValidator(_read_command), Field(min_length=1)]


class GrpcProbe(Model):
    """gRPC's health service, which is to say SERVING."""

    port: PortNumber
    service: str = ""


class Probe(Model):
    """How the sidecar finds out whether the application is ready."""

    initial_delay_seconds: Seconds = 0
    timeout_seconds: Seconds = 0
    period_seconds: Seconds = 0
    success_threshold: Threshold = 0
    failure_threshold: Threshold = 0
    http_get: HttpProbe | None = None
    tcp_socket: TcpProbe | None = None
    exec: ExecProbe | None = None
    grpc: GrpcProbe | None = None

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Self:
        require_one(self, "http_get", "tcp_socket", "exec", "grpc", needed=True)
        return self


class GroupMetadata(Model):
    """What workloads of the group get as their metadata."""

    labels: Labels = {}
    annotations: Labels = {}


class Template(WorkloadEntry):
    """What workloads of the group get, without an address, which is their own."""

    @model_validator(mode="after")
    def _address_can_be_reached(self) -> Self:
        return self  # an address would mean nothing here, which `check` says


class WorkloadGroup(Model):
    """A group of workloads."""

    metadata: GroupMetadata = GroupMetadata()
    template: Template
    probe: Probe | None = None


KIND = Kind(
    "WorkloadGroup",
    groups=("networking.istio.io",),
    versions=("v1", "v1beta1", "v1alpha3"),
    spec=WorkloadGroup,
)
