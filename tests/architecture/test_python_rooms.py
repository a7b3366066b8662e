"""Rooms of the Python package import only what lies below them."""

import subprocess
import sys
from pathlib import Path


def test_rooms_only_look_down(root):
    linter = Path(sys.executable).with_name("lint-imports")
    linted = subprocess.run(
        [linter, "--no-logo"], cwd=root, capture_output=True, check=False, text=True
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr
    assert "rooms only look down KEPT" in linted.stdout


def test_the_extension_has_few_importers(sources, root):
    package = root / "python/meshcore"
    importers = {
        path.relative_to(package).as_posix()
        for path in sources
        if path.is_relative_to(package)
        and any(
            line.lstrip().startswith(
                ("from meshcore import _native", "from meshcore._native", "import meshcore._native")
            )
            for line in path.read_text().splitlines()
        )
    }
    assert importers == {"native.py", "native_discovery.py", "native_identity.py"}
