"""Documents to the mesh model.

Each file is about one kind and has `compile_document`, which adds resources to a mesh. It is total:
what the models took can be compiled, and what cannot be applied is said by `check`.
"""

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module

from meshcore.config.compile import auto_address
from meshcore.config.compile.mesh_config import settings_of
from meshcore.config.document import Document
from meshcore.config.models import module_of, names_in
from meshcore.config.models.base import Model
from meshcore.config.models.mesh_config import MeshConfig
from meshcore.config.resources import Mesh, Service, Settings

Compiler = Callable[[Document[Model], Mesh], None]


def compile_documents(documents: Sequence[Document[Model]], revision: int) -> Mesh:
    """Returns the mesh that `documents` describe."""
    mesh = empty(settings_of(mesh_config(documents)), revision)
    for document in documents:
        _add(document, mesh)
    mesh["services"] = _one_of_each(mesh["services"])
    auto_address.settle(mesh["services"])
    return mesh


def compile_alone(document: Document[Model], settings: Settings) -> Mesh:
    """Returns a mesh of what `document` alone becomes in one with these settings.

    Services of a host that others speak for as well are still to go through `one_service`.
    """
    mesh = empty(settings, 0)
    _add(document, mesh)
    return mesh


def one_service(services: Sequence[Service]) -> list[Service]:
    """Returns the services of one host without the entries, if Kubernetes has a service for it.

    Of such an entry only the names for certificates count. Source: Istio's ServiceEntry.
    """
    own = [s for s in services if s["origin"]["kind"] == "Service"]
    if not own or len(own) == len(services):
        return list(services)
    names = [
        name
        for service in services
        if service["origin"]["kind"] != "Service"
        for name in service["subject_alt_names"]
    ]
    *others, last = own
    return [*others, {**last, "subject_alt_names": [*last["subject_alt_names"], *names]}]


def mesh_config(documents: Sequence[Document[Model]]) -> MeshConfig:
    """Returns the settings of the mesh as they are written, or those of a mesh that says none."""
    configs = [d.spec for d in documents if isinstance(d.spec, MeshConfig)]
    return configs[-1] if configs else MeshConfig()


def empty(settings: Settings, revision: int) -> Mesh:
    """Returns a mesh of settings alone."""
    return {
        "revision": revision,
        "settings": settings,
        "services": [],
        "workloads": [],
        "routes": [],
        "traffic_policies": [],
        "peer_auths": [],
        "authorizations": [],
        "gateways": [],
        "credentials": [],
        "workload_groups": [],
    }


def _add(document: Document[Model], mesh: Mesh) -> None:
    compiler = _compiler_of(document.kind)
    if compiler is not None:
        compiler(document, mesh)


def _one_of_each(services: list[Service]) -> list[Service]:
    """Returns the services, as `one_service` has them, in the order of their hosts."""
    by_host: dict[str, list[Service]] = {}
    for service in services:
        by_host.setdefault(service["host"], []).append(service)
    return [service for found in by_host.values() for service in one_service(found)]


@cache
def _compiler_of(kind: str) -> Compiler | None:
    module = module_of(kind)
    if module not in names_in(__name__):
        return None
    compiler: Compiler | None = getattr(
        import_module(f"{__name__}.{module}"), "compile_document", None
    )
    return compiler
