"""What all tests share: the programs that some of them need."""

import os
import shutil

import pytest


def pytest_configure(config) -> None:
    config.addinivalue_line("markers", "needs(tool): skipped where a program is not installed")


def pytest_runtest_setup(item) -> None:
    for tool in (tool for mark in item.iter_markers("needs") for tool in mark.args):
        if shutil.which(tool) is None:
            missing = f"{tool} is not installed"
            # A continuous build has installed them all: there, a test that does not run is a fault.
            if os.environ.get("CI"):  # noqa: TID251 - set by whoever runs the tests
                pytest.fail(missing)
            pytest.skip(missing)
