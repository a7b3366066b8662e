"""What cargo built: programs of `crates/meshcore-bench`, the example `serve`, the extension."""

import filecmp
import json
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def program(name: str) -> str:
    """Returns the path of a program.

    Raises:
        SystemExit: It is not built.
    """
    path = _target() / "release" / name
    if not path.exists():
        raise SystemExit(f"{path} is not built: `make bench-peers` does it")
    return str(path)


def is_release_build() -> bool:
    """Whether the extension that is installed is the one that was built last as a wheel's is."""
    installed, built = find_spec("meshcore._native"), _target() / "release/lib_native.so"
    if installed is None or installed.origin is None or not built.exists():
        return False
    return filecmp.cmp(installed.origin, built, shallow=False)


@cache
def _target() -> Path:
    """The directory that cargo builds into."""
    command = ["cargo", "metadata", "--format-version=1", "--no-deps", "--locked"]
    answered = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    return Path(json.loads(answered.stdout)["target_directory"])
