"""Hosts for which several VirtualServices or services speak."""

from collections.abc import Iterator
from dataclasses import replace

from meshcore.config.addresses import full_name
from meshcore.config.check.world import World
from meshcore.config.document import Document
from meshcore.config.models.base import Model
from meshcore.config.models.virtual_service import VirtualService
from meshcore.config.resources import ExportTo, Route
from meshcore.errors import Diagnostic, Severity


def conflicting_hosts(document: Document[VirtualService], world: World) -> Iterator[Diagnostic]:
    """Yields an error for each host that another VirtualService has on sidecars as well.

    It blocks nothing: the older of the two applies, as in Istio.
    """
    if not document.spec.is_for_sidecars():
        return
    own = document.origin()
    for index, host in enumerate(document.spec.hosts):
        name = full_name(host, document.namespace, world.settings["domain"])
        for route in world.routes_at(name):
            if route["origin"] == own or not _meet(document, route):
                continue
            other = route["origin"]
            message = f"the host {name} is also that of {other['namespace']}/{other['name']}"
            hint = "sidecars use only the older of them: put the rules into one VirtualService"
            diagnostic = document.report(
                Severity.ERROR, "IST0109", message, "hosts", index, hint=hint
            )
            yield replace(diagnostic, blocks=False)
            break


def shared_host(
    document: Document[Model], host: str, world: World, *path: str | int
) -> Iterator[Diagnostic]:
    """Yields a warning when another document makes a service of the same host."""
    own = document.origin()
    for service in world.services_at(host):
        if service["origin"] != own:
            other = service["origin"]
            title = f"{other['kind']} {other['namespace']}/{other['name']}"
            message = f"{title} has the host {host} as well"
            hint = f"it is at {other['file']}:{other['line']}; keep one of them"
            yield document.report(Severity.WARNING, "MC0104", message, *path, hint=hint)
            return


def _meet(document: Document[VirtualService], route: Route) -> bool:
    """Whether some namespace sees both."""
    mine = _seen_by(list(document.spec.export_to), document.namespace)
    theirs = _seen_by(route["export_to"], route["origin"]["namespace"])
    if mine is None or theirs is None:
        return mine != set() and theirs != set()
    return bool(mine & theirs)


def _seen_by(export_to: list[str] | list[ExportTo], owner: str) -> set[str] | None:
    """Returns the namespaces that see something; `None` is all."""
    if not export_to:
        return None
    namespaces: set[str] = set()
    for to in export_to:
        if to in {"*", "all"} if isinstance(to, str) else False:
            return None
        if isinstance(to, dict):
            namespaces.add(to["namespace"])
        elif to in {".", "own"}:
            namespaces.add(owner)
        elif to not in {"~", "nobody"}:
            namespaces.add(to)
    return namespaces
