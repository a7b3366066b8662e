"""Meshes of which nothing runs."""

import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.cli.harness import TWO_VERSIONS, Mesh


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    """A mesh with reviews v1 at .11, v2 at .12, and web at .10, of which nothing runs."""
    one = Mesh(tmp_path, f"127.{16 + secrets.randbelow(230)}.{1 + secrets.randbelow(250)}")
    one.write(TWO_VERSIONS)
    yield one
    for running in one.started:
        if running.process.poll() is None:
            running.send(signal.SIGTERM)
            running.send(signal.SIGTERM)
    for running in one.started:
        running.wait()
