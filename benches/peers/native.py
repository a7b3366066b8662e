"""The programs of `crates/meshcore-bench` and the example `serve`, built by `make`."""

import json
import subprocess
from functools import cache
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


@cache
def _target() -> Path:
    """The directory that cargo builds into."""
    command = ["cargo", "metadata", "--format-version=1", "--no-deps", "--locked"]
    answered = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    return Path(json.loads(answered.stdout)["target_directory"])
