"""All resources together: `mesh.rs`."""

from typing import Literal, TypeAlias, TypedDict

from meshcore.config.resources.gateway import Credential, Gateway
from meshcore.config.resources.group import WorkloadGroup
from meshcore.config.resources.route import Retries, Route
from meshcore.config.resources.security import Authorization, PeerAuth
from meshcore.config.resources.service import Service, Workload
from meshcore.config.resources.traffic import TrafficPolicy

AccessLogFormat: TypeAlias = Literal["json"] | dict[str, str | None]


class AccessLog(TypedDict):
    """Where the access log goes."""

    path: str
    format: AccessLogFormat


class Settings(TypedDict):
    """What holds for the whole mesh."""

    trust_domain: str
    trust_domain_aliases: list[str]
    domain: str
    root_namespace: str
    outbound_policy: Literal["allow_any", "registry_only"]
    auto_mtls: bool
    connect_timeout_ms: int
    detection_timeout_ms: int
    default_retries: Retries
    path_normalization: Literal["none", "base", "merge_slashes", "decode_and_merge_slashes"]
    access_log: AccessLog | None


class Mesh(TypedDict):
    """What a mesh is made of, as one revision."""

    revision: int
    settings: Settings
    services: list[Service]
    workloads: list[Workload]
    routes: list[Route]
    traffic_policies: list[TrafficPolicy]
    peer_auths: list[PeerAuth]
    authorizations: list[Authorization]
    gateways: list[Gateway]
    credentials: list[Credential]
    workload_groups: list[WorkloadGroup]
