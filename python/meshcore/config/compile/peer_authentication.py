"""PeerAuthentication to peer authentication."""

from meshcore.config.compile.shared_fields import selector
from meshcore.config.document import Document
from meshcore.config.models.peer_authentication import MutualTls, PeerAuthentication
from meshcore.config.resources import Mesh, MtlsMode

_MODES: dict[str, MtlsMode | None] = {
    "UNSET": None,
    "DISABLE": "disable",
    "PERMISSIVE": "permissive",
    "STRICT": "strict",
}


def compile_document(document: Document[PeerAuthentication], mesh: Mesh) -> None:
    """Adds what workloads take; with a selector in the root namespace it means nothing.

    Source: Istio's `ComposePeerAuthentication`.
    """
    spec = document.spec
    wanted = selector(spec.selector)
    if wanted and document.namespace == mesh["settings"]["root_namespace"]:
        return
    mesh["peer_auths"].append(
        {
            "origin": document.origin(),
            "selector": wanted,
            "mode": _mode(spec.mtls),
            "ports": {port: _mode(tls) for port, tls in spec.port_level_mtls.items()},
            "created": document.created,
        }
    )


def _mode(written: MutualTls | None) -> MtlsMode | None:
    return _MODES[written.mode] if written is not None else None
