"""Kubernetes' Secret: certificates and keys of gateways. What is in it is never shown."""

from typing import Annotated

from pydantic import Field

from meshcore.config.models import Kind
from meshcore.config.models.base import Ignored, Model


class Secret(Model):
    """Named values; those of `data` are in base64."""

    type: str = "Opaque"
    data: dict[str, Annotated[str, Field(repr=False)]] = {}
    string_data: dict[str, Annotated[str, Field(repr=False)]] = {}
    immutable: Ignored = None


KIND = Kind("Secret", groups=("",), versions=("v1",), spec=Secret, needs_spec=False, has_spec=False)
