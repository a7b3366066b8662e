"""Attacks in their short form: a part of each corpus, in a minute. `make reliability` runs all."""

from pathlib import Path

import pytest

native = pytest.importorskip("meshcore.native")


def pytest_configure(config) -> None:
    config.addinivalue_line("markers", "reliability: attacks over sockets, in their short form")


def pytest_collection_modifyitems(items) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.reliability)
            item.add_marker(pytest.mark.native)
