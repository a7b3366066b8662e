"""Secrets that gateways cannot use. Nothing of what is in them is said."""

from collections.abc import Iterator

from meshcore.config.check.world import World
from meshcore.config.compile.secret import AUTHORITIES, CERTIFICATE, KEY, REVOCATIONS, decoded, part
from meshcore.config.document import Document
from meshcore.config.models.secret import Secret
from meshcore.errors import Diagnostic, Severity

UNUSABLE = "MC0107"


def check_document(document: Document[Secret], world: World) -> Iterator[Diagnostic]:
    """Yields what is to say about a Secret with certificates."""
    del world
    spec = document.spec
    for name in (*CERTIFICATE, *KEY, *AUTHORITIES, *REVOCATIONS):
        if name in spec.data and name not in spec.string_data and decoded(spec.data[name]) is None:
            message = f"{name} is not text in base64: what needs it refuses every handshake"
            hint = "encode it with base64, or put it into stringData as it is"
            yield document.report(Severity.WARNING, UNUSABLE, message, "data", name, hint=hint)
    if spec.type == "kubernetes.io/tls":
        for names in (CERTIFICATE, KEY):
            if part(spec, names) is None and not any(name in spec.data for name in names):
                message = f"a secret of type {spec.type} needs {names[0]}"
                yield document.report(Severity.WARNING, UNUSABLE, message, "type")
