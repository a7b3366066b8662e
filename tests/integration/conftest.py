"""A mesh for a module, and one for a single test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.harness import MESHCORE, Mesh, mesh

native = pytest.importorskip("meshcore.native")


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Iterator[Mesh]:
    """A mesh whose processes live as long as the module's tests."""
    with mesh(tmp_path_factory.mktemp("mesh")) as made:
        yield made


@pytest.fixture
def alone(tmp_path) -> Iterator[Mesh]:
    """A mesh for one test."""
    with mesh(tmp_path) as made:
        yield made


def pytest_collection_modifyitems(items) -> None:
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in here:
        item.add_marker(pytest.mark.native)
        if not MESHCORE.exists():
            item.add_marker(pytest.mark.skip(reason="meshcore is not installed: make develop"))
