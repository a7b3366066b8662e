"""Runs h2spec, strictly, against the listener that takes the calls of programs.

`tools/h2spec` says where the program is, and builds it the first time.
"""

import re
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.reliability import rig
from tests.reliability.h1_origin import Origin

# h2spec calls by the address it connects to: so this must be a name of the mesh.
_ADDRESS = """---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: address}}
spec:
  hosts: ["127.0.0.1"]
  addresses: ["127.0.0.1"]
  ports: [{{number: {port}, name: http, protocol: HTTP, targetPort: {origin}}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1}}]
"""

# The listener takes both versions of HTTP, so what begins otherwise is answered as HTTP/1 is: with
# 400, before the connection is closed.
KNOWN = frozenset({"2: Sends invalid connection preface"})


@dataclass
class Outcome:
    """What h2spec says."""

    tests: int
    passed: int
    skipped: int
    failures: list[str] = field(default_factory=list)


def h2spec() -> Path:
    """Returns the program."""
    build = [rig.ROOT / "tools/h2spec"]
    found = subprocess.run(build, check=True, stdout=subprocess.PIPE, text=True)
    return Path(found.stdout.strip())


def run(program: Path) -> Outcome:
    """Runs all its tests."""
    port = rig.free_port()
    with (
        tempfile.TemporaryDirectory(prefix="meshcore-h2spec-") as directory,
        Origin().running() as o,
    ):
        more = _ADDRESS.format(port=port, origin=o.port)
        with rig.meshcore(Path(directory), o.port, more=more, outbound=port):
            command = [program, "-S", "-h", "127.0.0.1", "-p", str(port), "-o", "3"]
            said = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    return _read(said)


def _read(said: str) -> Outcome:
    found = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped", said)
    assert found, said
    failures = re.findall(r"\u00d7 (\d+: .*)", said.partition("Failures:")[2])
    return Outcome(int(found[1]), int(found[2]), int(found[3]), failures)
