"""What gates are measured with."""

import os

import pytest
from benches.peers.native import program


@pytest.fixture(scope="session")
def programs() -> None:
    """The programs that `make programs` builds; where they are not, only CI minds."""
    try:
        for name in ("floor", "load", "origin", "examples/serve"):
            program(name)
    except SystemExit as error:
        if os.environ.get("CI"):  # noqa: TID251 - set by whoever runs the tests
            raise
        pytest.skip(f"{error}, or `make gates`")
