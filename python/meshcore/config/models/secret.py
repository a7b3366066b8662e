"""Kubernetes' Secret: certificates and keys of gateways. What is in it is never shown."""

from typing import Annotated, TypeAlias, cast

from pydantic import BeforeValidator, Field

from meshcore.config.models import Kind
from meshcore.config.models.base import Ignored, Model, refusal


def _read_values(value: object) -> object:
    """Refuses here what pydantic would show in its message."""
    if not isinstance(value, dict):
        raise refusal("a mapping of names to text is needed")
    for name, one in cast("dict[str, object]", value).items():
        if not isinstance(one, str):
            raise refusal("text is needed", name)
    return cast("object", value)


Values: TypeAlias = Annotated[dict[str, str], BeforeValidator(_read_values)]
"""Texts by name."""


class Secret(Model):
    """Named values; those of `data` are in base64."""

    type: str = "Opaque"
    data: Values = Field(default={}, repr=False)
    string_data: Values = Field(default={}, repr=False)
    immutable: Ignored = None


KIND = Kind("Secret", groups=("",), versions=("v1",), spec=Secret, needs_spec=False, has_spec=False)
