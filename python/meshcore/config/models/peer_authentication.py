"""Istio's PeerAuthentication: whether workloads take plain text."""

from typing import Literal, Self

from pydantic import model_validator

from meshcore.config.models import Kind
from meshcore.config.models.base import LabelSelector, Model, refusal

_MAX_PORT = 65535


class MutualTls(Model):
    """What is taken."""

    mode: Literal["UNSET", "DISABLE", "PERMISSIVE", "STRICT"] = "UNSET"


class PeerAuthentication(Model):
    """What workloads take from their peers."""

    selector: LabelSelector | None = None
    mtls: MutualTls | None = None
    port_level_mtls: dict[str, MutualTls] = {}

    @model_validator(mode="after")
    def _ports_need_workloads(self) -> Self:
        for port in self.port_level_mtls:
            if not port.isdecimal() or not 0 < int(port[:6]) <= _MAX_PORT:
                raise refusal("port must be between 1-65535", "portLevelMtls", port)
        if self.port_level_mtls and not (self.selector and self.selector.match_labels):
            raise refusal("portLevelMtls requires selector", "portLevelMtls")
        return self


KIND = Kind(
    "PeerAuthentication",
    groups=("security.istio.io",),
    versions=("v1", "v1beta1"),
    spec=PeerAuthentication,
    needs_spec=False,
)
