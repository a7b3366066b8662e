"""Secret to a credential of gateways."""

import base64
import binascii

from meshcore.config.document import Document
from meshcore.config.models.secret import Secret
from meshcore.config.resources import Mesh

# What each part may be called. Source: Istio's `credentialName`.
CERTIFICATE = ("tls.crt", "cert")
KEY = ("tls.key", "key")
AUTHORITIES = ("ca.crt", "cacert")
REVOCATIONS = ("ca.crl", "crl")


def compile_document(document: Document[Secret], mesh: Mesh) -> None:
    """Adds the credential, if the secret is one. What cannot be read counts as missing."""
    spec = document.spec
    parts = {name: part(spec, names) for name, names in (
        ("certificate", CERTIFICATE), ("key", KEY), ("authorities", AUTHORITIES),
        ("revocations", REVOCATIONS),
    )}  # fmt: skip
    if not any(parts.values()) and not is_credential(spec):
        return
    mesh["credentials"].append(
        {
            "origin": document.origin(),
            "certificate": parts["certificate"],
            "key": parts["key"],
            "authorities": parts["authorities"],
            "revocations": parts["revocations"],
        }
    )


def is_credential(spec: Secret) -> bool:
    """Whether the secret is meant for gateways."""
    names = {*CERTIFICATE, *KEY, *AUTHORITIES, *REVOCATIONS}
    return spec.type == "kubernetes.io/tls" or bool(names & (spec.data.keys() | spec.string_data))


def part(spec: Secret, names: tuple[str, ...]) -> str | None:
    """Returns the first of these values, or `None`. Source: `stringData` wins in Kubernetes."""
    for name in names:
        if name in spec.string_data:
            return spec.string_data[name]
        if name in spec.data:
            return decoded(spec.data[name])
    return None


def decoded(value: str) -> str | None:
    """Returns a value of `data` as text, or `None` when it is not text in base64."""
    try:
        return base64.b64decode("".join(value.split()), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return None
