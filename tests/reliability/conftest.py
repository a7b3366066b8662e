"""Attacks in their short form: a part of each corpus, in a minute. `make reliability` runs all."""

import shutil
from pathlib import Path

import pytest

native = pytest.importorskip("meshcore.native")


def pytest_configure(config) -> None:
    config.addinivalue_line("markers", "reliability: attacks over sockets, in their short form")
    config.addinivalue_line("markers", "needs(tool): skipped where a program is not installed")


def pytest_collection_modifyitems(items) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.reliability)
            item.add_marker(pytest.mark.native)


def pytest_runtest_setup(item) -> None:
    for mark in item.iter_markers("needs"):
        for tool in mark.args:
            if shutil.which(tool) is None:
                pytest.skip(f"{tool} is not installed")
