"""Whether what a document names is there."""

from collections.abc import Iterator

from meshcore.config.addresses import full_name
from meshcore.config.check.world import World
from meshcore.config.document import Document
from meshcore.config.models.base import Model
from meshcore.config.resources import Labels
from meshcore.config.suggest import did_you_mean
from meshcore.errors import Diagnostic, Severity

NOT_FOUND = "IST0101"
NO_WORKLOADS = "IST0127"


def host_of(document: Document[Model], host: str, world: World) -> str:
    """Returns the full name of a host that `document` names."""
    return full_name(host, document.namespace, world.settings["domain"])


def unknown_host(
    document: Document[Model], host: str, world: World, *path: str | int
) -> Iterator[Diagnostic]:
    """Yields a warning when no service has the host; an error in what the short form made."""
    name = host_of(document, host, world)
    if not world.is_whole or world.services_of(name):
        return
    severity = Severity.ERROR if document.from_short_form else Severity.WARNING
    hint = world.did_you_mean(name)
    if host != name:
        hint = f"{host} is looked for in the namespace {document.namespace}. {hint}".strip()
    message = f"no Service or ServiceEntry has the host {name!r}"
    yield document.report(severity, NOT_FOUND, message, *path, hint=hint)


def unknown_subset(
    document: Document[Model], named: tuple[str, str], world: World, *path: str | int
) -> Iterator[Diagnostic]:
    """Yields an error when no traffic policy of a host has a subset.

    Args:
        document: What names it.
        named: The host and the subset.
        world: Where both are looked for.
        path: Where it is named.
    """
    host, subset = named
    name = host_of(document, host, world)
    known = [s["name"] for policy in world.policies_of(name) for s in policy["subsets"]]
    if not world.is_whole or subset in known:
        return
    hint = did_you_mean(subset, known) if known else f"no DestinationRule for {name} has subsets"
    message = f"the host {name!r} has no subset {subset!r}"
    yield document.report(Severity.ERROR, NOT_FOUND, message, *path, hint=hint)


def selects_nothing(
    document: Document[Model], selector: Labels, world: World, *path: str | int
) -> Iterator[Diagnostic]:
    """Yields a warning when no workload has all labels of a selector."""
    if not selector or not world.is_whole or world.selected(selector, document.namespace):
        return
    wanted = ", ".join(f"{key}={value}" for key, value in selector.items())
    message = f"no workload in {document.namespace} has the labels {wanted}"
    yield document.report(Severity.WARNING, NO_WORKLOADS, message, *path)
