"""PeerAuthentications: whether they apply to anything."""

from collections.abc import Iterator

from meshcore.config.check.references import selects_nothing
from meshcore.config.check.world import World
from meshcore.config.document import Document
from meshcore.config.models.peer_authentication import PeerAuthentication
from meshcore.errors import Diagnostic, Severity


def check_document(document: Document[PeerAuthentication], world: World) -> Iterator[Diagnostic]:
    """Yields what is to say about a PeerAuthentication."""
    wanted = dict(document.spec.selector.match_labels) if document.spec.selector else {}
    if wanted and document.namespace == world.settings["root_namespace"]:
        message = "a selector in the root namespace means nothing here, as in Istio"
        hint = "put the document into the namespace of the workloads"
        yield document.report(Severity.WARNING, "IST0166", message, "selector", hint=hint)
        return
    yield from selects_nothing(document, wanted, world, "selector")
    own = document.origin()
    for other in world.peer_auths_in(document.namespace):
        origin = other["origin"]
        if other["selector"] == wanted and origin["name"] != own["name"]:
            message = f"{origin['namespace']}/{origin['name']} is for the same workloads"
            hint = "only the older of them applies"
            yield document.report(Severity.WARNING, "MC0105", message, "selector", hint=hint)
            return
