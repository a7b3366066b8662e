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
from meshcore.config.resources import Mesh, Service

Compiler = Callable[[Document[Model], Mesh], None]


def compile_documents(documents: Sequence[Document[Model]], revision: int) -> Mesh:
    """Returns the mesh that `documents` describe."""
    config = mesh_config(documents)
    mesh: Mesh = {
        "revision": revision,
        "settings": settings_of(config),
        "services": [],
        "workloads": [],
        "routes": [],
        "traffic_policies": [],
        "peer_auths": [],
        "authorizations": [],
        "gateways": [],
        "credentials": [],
    }
    for document in documents:
        compiler = _compiler_of(document.kind)
        if compiler is not None:
            compiler(document, mesh)
    mesh["services"] = _one_of_each(mesh["services"])
    auto_address.settle(mesh["services"])
    return mesh


def mesh_config(documents: Sequence[Document[Model]]) -> MeshConfig:
    """Returns the settings of the mesh as they are written, or those of a mesh that says none."""
    configs = [d.spec for d in documents if isinstance(d.spec, MeshConfig)]
    return configs[-1] if configs else MeshConfig()


def _one_of_each(services: list[Service]) -> list[Service]:
    """Returns the services without the entries for hosts that Kubernetes has a service for.

    Of such an entry only the names for certificates count. Source: Istio's ServiceEntry.
    """
    own = {s["host"]: s for s in services if s["origin"]["kind"] == "Service"}
    kept: list[Service] = []
    for service in services:
        first = own.get(service["host"], service)
        if first is service or service["origin"]["kind"] == "Service":
            kept.append(service)
        else:
            first["subject_alt_names"] += service["subject_alt_names"]
    return kept


@cache
def _compiler_of(kind: str) -> Compiler | None:
    module = module_of(kind)
    if module not in names_in(__name__):
        return None
    compiler: Compiler | None = getattr(
        import_module(f"{__name__}.{module}"), "compile_document", None
    )
    return compiler
