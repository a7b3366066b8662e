"""Small documents and what becomes of them."""

from collections.abc import Callable

import pytest

from meshcore.config import Result, Source, compile_mesh
from meshcore.errors import Diagnostic, Severity

Read = Callable[[str], Result]
Find = Callable[..., list[Diagnostic]]


@pytest.fixture
def read() -> Read:
    """Reads a text as `mesh.yaml`."""

    def _read(text: str) -> Result:
        return compile_mesh([Source("mesh.yaml", text)], revision=7)

    return _read


@pytest.fixture
def found(read: Read) -> Find:
    """Returns the findings about a text, all or those with a code."""

    def _found(text: str, code: str | None = None) -> list[Diagnostic]:
        return [d for d in read(text).diagnostics if code is None or d.code == code]

    return _found


@pytest.fixture
def errors(read: Read) -> Callable[[str], list[Diagnostic]]:
    """Returns the errors about a text."""

    def _errors(text: str) -> list[Diagnostic]:
        return [d for d in read(text).diagnostics if d.severity is Severity.ERROR]

    return _errors


@pytest.fixture
def document() -> Callable[..., str]:
    """Writes a document of a kind around the lines of its `spec`."""

    def _document(kind: str, spec: str, namespace: str = "default", name: str = "x") -> str:
        group = {
            "Service": "v1",
            "PeerAuthentication": "security.istio.io/v1",
            "AuthorizationPolicy": "security.istio.io/v1",
            "MeshConfig": "meshcore.io/v1",
        }.get(kind, "networking.istio.io/v1")
        head = f"apiVersion: {group}\nkind: {kind}\n"
        head += f"metadata: {{name: {name}, namespace: {namespace}}}\nspec:"
        if spec.strip().startswith("{"):
            return f"{head} {spec.strip()}\n"
        return head + "\n" + "\n".join("  " + line for line in spec.strip("\n").split("\n")) + "\n"

    return _document
