"""What all tests share: the programs and the public cases that some of them need."""

import os
import shutil
from pathlib import Path

import pytest

# Beside the project, unless MESHCORE_CASES names another folder.
CASES = Path(__file__).resolve().parents[2] / "shared" / "cases"


@pytest.fixture(scope="session")
def cases() -> Path:
    """The folder of public cases; a test that reads them is skipped where there is none."""
    given = os.environ.get("MESHCORE_CASES")  # noqa: TID251 - tests are told by it alone
    folder = Path(given).absolute() if given else CASES
    if not folder.is_dir():
        pytest.skip(f"no public cases in {folder}: set MESHCORE_CASES")
    return folder


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
