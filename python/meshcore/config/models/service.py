"""Kubernetes' Service."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from meshcore.config.models import Kind
from meshcore.config.models.base import Ignored, Labels, Model, PortNumber, refusal

# Source: IANA_SVC_NAME of Kubernetes.
PortName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?$")]


class ServicePort(Model):
    """A port of the service."""

    port: PortNumber
    name: str = ""
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    app_protocol: str | None = None
    target_port: PortNumber | PortName | None = None
    node_port: Ignored = None


class Service(Model):
    """A name for the workloads of a namespace that have some labels."""

    ports: list[ServicePort] = []
    selector: Labels | None = None
    cluster_ip: str | None = Field(default=None, alias="clusterIP")
    cluster_ips: list[str] = Field(default=[], alias="clusterIPs")
    type: Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] = "ClusterIP"
    external_name: str | None = None
    external_ips: Ignored = Field(default=None, alias="externalIPs")
    load_balancer_ip: Ignored = Field(default=None, alias="loadBalancerIP")
    session_affinity: Ignored = None
    session_affinity_config: Ignored = None
    load_balancer_source_ranges: Ignored = None
    load_balancer_class: Ignored = None
    external_traffic_policy: Ignored = None
    internal_traffic_policy: Ignored = None
    health_check_node_port: Ignored = None
    publish_not_ready_addresses: Ignored = None
    ip_families: Ignored = None
    ip_family_policy: Ignored = None
    allocate_load_balancer_node_ports: Ignored = None
    traffic_distribution: Ignored = None
    topology_keys: Ignored = None

    @model_validator(mode="after")
    def _ports_are_told_apart(self) -> Self:
        names: set[str] = set()
        for index, port in enumerate(self.ports):
            if not port.name and len(self.ports) > 1:
                raise refusal("a port of several needs a name", "ports", index)
            if port.name in names:
                raise refusal(
                    f"Duplicate value: the port name {port.name!r}", "ports", index, "name"
                )
            names.add(port.name)
        return self

    @model_validator(mode="after")
    def _external_has_a_name(self) -> Self:
        if self.type == "ExternalName" and not self.external_name:
            raise refusal("a service of type ExternalName needs externalName", "type")
        return self


KIND = Kind("Service", groups=("",), versions=("v1",), spec=Service, needs_spec=True)
