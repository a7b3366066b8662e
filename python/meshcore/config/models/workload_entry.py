"""Istio's WorkloadEntry: one instance that Kubernetes does not run."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from meshcore.config.addresses import is_dns_label, is_host, is_ip
from meshcore.config.models import Kind
from meshcore.config.models.base import Count, Labels, Model, PortNumber, refusal

# Labels of a workload that say how it takes part in the mesh.
TLS_MODE = "security.istio.io/tlsMode"
TUNNEL = "networking.istio.io/tunnel"
INBOUND_PORT = "meshcore.io/inbound-port"
HBONE_PORT = "meshcore.io/hbone-port"
WORKLOAD_NAME = "service.istio.io/workload-name"

OWN_LABELS = (INBOUND_PORT, HBONE_PORT)
"""Labels of meshcore's own."""

_MAX_PORT = 65535
_UNIX = "unix://"


def _read_port_name(name: str) -> str:
    if not is_dns_label(name.lower()):
        raise refusal(f"Invalid value: {name[:40]!r} is not a port name")
    return name


class WorkloadEntry(Model):
    """An address, and what answers there."""

    address: str = ""
    ports: dict[Annotated[str, AfterValidator(_read_port_name)], PortNumber] = {}
    labels: Labels = {}
    network: str = ""
    locality: str = ""
    weight: Count = 0
    service_account: str = Field(default="", max_length=253)

    @model_validator(mode="after")
    def _address_can_be_reached(self) -> Self:
        address = self.address
        if address.startswith(_UNIX):
            self._check_unix()
        elif not address:
            if not self.network:
                raise refusal("address must be given", "address")
        elif not is_ip(address) and not is_host(address):
            raise refusal(
                f"{address[:60]!r} is neither an IP address nor a host name",
                "address",
                hint="a port goes under ports, as NAME: NUMBER",
            )
        return self

    @model_validator(mode="after")
    def _port_labels_are_numbers(self) -> Self:
        for name in OWN_LABELS:
            value = self.labels.get(name)
            is_port = value is None or (value.isdecimal() and 0 < int(value[:6]) <= _MAX_PORT)
            if not is_port:
                raise refusal("must be a port number in quotes, 1 to 65535", "labels", name)
        return self

    def _check_unix(self) -> None:
        path = self.address.removeprefix(_UNIX)
        if not path.startswith(("/", "@")):
            raise refusal("a unix socket is an absolute path or @name", "address")
        if path.endswith("/"):
            raise refusal("UDS may not be a dir", "address")
        if self.ports:
            raise refusal("UDS may not include ports", "ports")


KIND = Kind(
    "WorkloadEntry",
    groups=("networking.istio.io",),
    versions=("v1", "v1beta1", "v1alpha3"),
    spec=WorkloadEntry,
)
