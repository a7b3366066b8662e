"""Settings of the whole mesh: the fields of Istio's MeshConfig that matter to users."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from meshcore.config.models import Kind
from meshcore.config.models.base import DurationMs, Model, Name, PositiveMs, refusal
from meshcore.config.models.http_action import HttpRetry


def _read_trust_domain(value: str) -> str:
    if not value or value.strip("abcdefghijklmnopqrstuvwxyz0123456789.-_"):
        raise refusal("a trust domain has only lower-case letters, digits, '.', '-' and '_'")
    return value


TrustDomain = Annotated[str, Field(max_length=255), AfterValidator(_read_trust_domain)]


class OutboundTrafficPolicy(Model):
    """What happens to requests for hosts that the mesh does not know."""

    mode: Literal["ALLOW_ANY", "REGISTRY_ONLY"] = "ALLOW_ANY"


class PathNormalization(Model):
    """How paths are brought to one form; `DEFAULT` is Istio's, which is `BASE`."""

    normalization: Literal[
        "DEFAULT", "NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"
    ] = "DECODE_AND_MERGE_SLASHES"


class MeshConfig(Model):
    """What holds for the whole mesh."""

    trust_domain: TrustDomain = "cluster.local"
    trust_domain_aliases: list[TrustDomain] = []
    domain: Name = "cluster.local"
    root_namespace: Name = "istio-system"
    outbound_traffic_policy: OutboundTrafficPolicy = OutboundTrafficPolicy.model_construct()
    enable_auto_mtls: bool = True
    connect_timeout: PositiveMs = 10_000
    protocol_detection_timeout: DurationMs = 5_000
    default_http_retry_policy: HttpRetry | None = None
    path_normalization: PathNormalization = PathNormalization.model_construct()
    access_log_file: str = ""
    access_log_encoding: Literal["TEXT", "JSON"] = "TEXT"
    access_log_format: str = ""


KIND = Kind(
    "MeshConfig",
    groups=("meshcore.io", "install.istio.io"),
    versions=("v1", "v1alpha1"),
    spec=MeshConfig,
    needs_spec=False,
)
