"""Runs h2spec, strictly, against a listener that takes both versions of HTTP and one of HTTP/2.

`tools/h2spec` says where the program is, and builds it the first time.
"""

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benches.peers import proxies
from tests.reliability import rig

TESTS = 147
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
# Long enough for the cases about windows, which are skipped else.
_LOCATION = f"location / {{ default_type text/plain; return 200 '{'x' * 1024}'; }}"

# A listener that takes both versions of HTTP reads what begins otherwise as a bad request of
# HTTP/1, which it answers with 400 before it closes (RFC 9112 section 3).
KNOWN = {
    "outbound, which takes both versions": frozenset({"2: Sends invalid connection preface"}),
    "inbound, a port that declares HTTP2": frozenset[str](),
}


@dataclass
class Outcome:
    """What h2spec says."""

    listener: str
    tests: int
    passed: int
    skipped: int
    failures: list[str] = field(default_factory=list)

    @property
    def unknown(self) -> list[str]:
        """What failed and is not known to; a case that was not run failed, too."""
        missing = TESTS - self.passed - len(self.failures)
        return [
            *(failure for failure in self.failures if failure not in KNOWN[self.listener]),
            *([f"{missing} of {TESTS} were not run"] if missing else []),
        ]


def h2spec() -> Path:
    """Returns the program."""
    build = [rig.ROOT / "tools/h2spec"]
    found = subprocess.run(build, check=True, stdout=subprocess.PIPE, text=True)
    return Path(found.stdout.strip())


def run(program: Path) -> list[Outcome]:
    """Runs all its tests against both listeners."""
    return [_run(program, listener) for listener in KNOWN]


def _run(program: Path, listener: str) -> Outcome:
    port = rig.free_port()
    is_inbound = listener.startswith("inbound")
    with (
        tempfile.TemporaryDirectory(prefix="meshcore-h2spec-") as made,
        _origins(directory := Path(made)) as (origin, h2_origin),
    ):
        more = _ADDRESS.format(port=port, origin=origin)
        beside, protocol = (h2_origin, "HTTP2") if is_inbound else (origin, "HTTP")
        with rig.meshcore(directory, beside, more=more, outbound=port, protocol=protocol) as proxy:
            at = proxy.inbound if is_inbound else port
            command = [program, "-S", "-h", "127.0.0.1", "-p", str(at), "-o", "3"]
            said = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    return _read(listener, said)


@contextmanager
def _origins(directory: Path) -> Iterator[tuple[int, int]]:
    """nginx on two ports, of which the second speaks HTTP/2."""
    directory.chmod(0o755)  # it may give up root
    port, h2_port = rig.free_port(), rig.free_port()
    http2 = f"server {{ listen 127.0.0.1:{h2_port} http2; {_LOCATION} }}"
    setting = proxies.Setting(directory, port, 0)
    command = proxies.nginx_command(setting, "origin", _LOCATION, http2)
    with rig.server(command, port, directory):
        yield port, h2_port


def _read(listener: str, said: str) -> Outcome:
    found = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped", said)
    assert found, said
    failures = re.findall(r"\u00d7 (\d+: .*)", said.partition("Failures:")[2])
    return Outcome(listener, int(found[1]), int(found[2]), int(found[3]), failures)
