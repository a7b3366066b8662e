"""Counts that do not wobble: of instructions and system calls for a request, and of memory.

All of them are of the example `serve`, the data plane without Python, in the release build.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benches.peers import processes
from benches.peers.loads import HTTP1_FIELDS, on_load_processor
from benches.peers.memory import for_idle_connection
from benches.peers.native import program
from benches.peers.proxies import PROXIES, Setting
from benches.peers.proxies.origin import fast
from benches.peers.scenario import one
from benches.peers.start import started

SERVE = "without Python"
# Far enough apart that what is done once, and the first of everything, falls out.
FEW, MANY = 1_000, 5_000


@contextmanager
def setting() -> Iterator[Setting]:
    """What `serve` is to do, with an origin that runs inside the block."""
    with tempfile.TemporaryDirectory(prefix="meshcore-counts-") as scratch:
        directory, port = Path(scratch), processes.free_port()
        with processes.running(fast("http", directory, port), port):
            yield Setting(directory, 0, port)


def instructions(wanted: Setting) -> float:
    """Returns user instructions for a request, one after the other over one connection.

    Source: callgrind; the difference of two counts over that of their requests.
    """

    def of(requests: int) -> int:
        out = wanted.directory / f"callgrind-{requests}"
        tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
        _serve(tool, wanted, requests)
        (counted,) = re.findall(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE)[-1:]
        return int(counted)

    return (of(MANY) - of(FEW)) / (MANY - FEW)


def system_calls(wanted: Setting) -> dict[str, float]:
    """Returns system calls for a request by name, one after the other over one connection.

    Source: `strace -c`, as for instructions; those below one in a hundred requests are left out.
    """

    def of(requests: int) -> dict[str, int]:
        out = wanted.directory / f"strace-{requests}"
        _serve(["strace", "-f", "-c", "-U", "calls,name", "-o", str(out)], wanted, requests)
        rows = re.findall(r"^\s*(\d+)\s+(\w+)$", out.read_text(), re.MULTILINE)
        return {name: int(count) for count, name in rows if name != "total"}

    many, few = of(MANY), of(FEW)
    each = {name: (many[name] - few.get(name, 0)) / (MANY - FEW) for name in many}
    return {name: round(count, 2) for name, count in each.items() if abs(count) >= 0.01}


def idle_connection_bytes(wanted: Setting) -> float:
    """Returns resident memory for an idle connection in plain text."""
    with started(one(SERVE), wanted) as running:
        return for_idle_connection(running, 0.0).value * 1024


def _serve(tool: list[str], wanted: Setting, requests: int) -> None:
    """Runs `serve` under a tool for so many requests, and ends it as it wants to be ended."""
    here = replace(wanted, port=processes.free_port())
    command = [*tool, *PROXIES[SERVE](here)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.PIPE) as process:
        processes.wait_for(here.port, process)
        load = [program("load"), "http", *HTTP1_FIELDS, "--port", here.port, "--connections", 1]
        said = json.loads(on_load_processor([*load, "--count", requests]))
        assert said["units"] == requests
        _, complaint = process.communicate(timeout=60)
    if process.returncode != 0:
        raise SystemExit(f"{command} failed: {complaint.decode()}")
