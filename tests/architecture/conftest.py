"""What all tests of the architecture look at."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def sources() -> list[Path]:
    """All files of ours in Rust and Python, whether they are committed already or not."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.rs", "*.py"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    return [path for line in listed.stdout.splitlines() if (path := ROOT / line).exists()]
