"""Services and the workloads behind them: `service.rs`."""

from typing import Literal, TypeAlias, TypedDict

from meshcore.config.resources.origin import ExportTo, Labels, Origin

Protocol: TypeAlias = Literal["http", "http2", "grpc", "tls", "tcp", "detect"]


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
    auto_addresses: list[str]
    location: Literal["external", "internal"]
    resolution: Literal["none", "static", "dns", "dns_round_robin"]
    export_to: list[ExportTo]
    subject_alt_names: list[str]
    selector: Labels | None
    endpoints: list[Workload]
    created: str
