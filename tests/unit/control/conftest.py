"""Meshes of a few lines."""

from collections.abc import Callable

import pytest

from meshcore.config import Source, compile_mesh
from meshcore.config.resources import Mesh


@pytest.fixture
def compiled() -> Callable[[str], Mesh]:
    """Compiles a text."""

    def _compiled(text: str) -> Mesh:
        return compile_mesh([Source("mesh.yaml", text)], revision=1).required()

    return _compiled
