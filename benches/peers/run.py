"""What does a request cost? Processor time, in microseconds, beside what peers need for the same.

Processor time of the proxy's own process is what is compared: it is steadier than requests a
second, which also depend on the load generator and the origin that share the machine.
"""

import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benches.peers.processes import cpu_seconds, free_port, resident_bytes, running
from benches.peers.proxies import OTHERS, PROXIES, Setting, origin

ROUNDS = 5
REQUESTS = 60_000
CONNECTIONS = 32


@dataclass(frozen=True)
class Measured:
    """One round of one proxy."""

    cpu_us: float
    """Processor time for one request."""
    per_second: float


def load(port: int, requests: int) -> float:
    """Sends requests over kept connections; returns how many a second.

    Raises:
        SystemExit: Not every request was answered with 200 and the whole body.
    """
    command = [
        "h2load",
        "--h1",
        f"-n{requests}",
        f"-c{CONNECTIONS}",
        "-H",
        ":authority: origin.test",
    ]
    command.append(f"http://127.0.0.1:{port}/")
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    if f"{requests} succeeded" not in done.stdout or f"{requests} 2xx" not in done.stdout:
        raise SystemExit(f"not every request succeeded:\n{done.stdout}")
    found = re.search(r"finished in .*?, ([\d.]+) req/s", done.stdout)
    if found is None:
        raise SystemExit(f"h2load said something else:\n{done.stdout}")
    return float(found[1])


def measure(port: int, pid: int) -> Measured:
    """Measures one round."""
    before = cpu_seconds(pid)
    per_second = load(port, REQUESTS)
    return Measured((cpu_seconds(pid) - before) / REQUESTS * 1e6, per_second)


def main() -> None:
    """Measures those that are named, or all of `PROXIES`, in turns, and prints a table."""
    names = sys.argv[1:] or list(PROXIES)
    if unknown := sorted(set(names) - (PROXIES | OTHERS).keys()):
        raise SystemExit(f"no proxy {', '.join(unknown)}: there are {', '.join(PROXIES | OTHERS)}")
    with tempfile.TemporaryDirectory(prefix="meshcore-bench-") as scratch, ExitStack() as stack:
        directory = Path(scratch)
        directory.chmod(0o755)  # nginx and HAProxy may give up root
        origin_port = free_port()
        stack.enter_context(running(origin(directory, origin_port), origin_port))
        servers = {}
        for name in names:
            setting = Setting(directory, free_port(), origin_port)
            pid = stack.enter_context(running((PROXIES | OTHERS)[name](setting), setting.port))
            servers[name] = (setting.port, pid)
            load(setting.port, REQUESTS // 10)  # warm
        rounds: dict[str, list[Measured]] = {name: [] for name in names}
        for _ in range(ROUNDS):
            for name, (port, pid) in servers.items():
                rounds[name].append(measure(port, pid))
        print(f"{CONNECTIONS} connections, {ROUNDS} rounds of {REQUESTS} requests, medians")
        print(f"{'':15}{'us/request':>12}{'spread':>14}{'requests/s':>12}{'RSS MiB':>9}")
        for name, measured in rounds.items():
            costs = [one.cpu_us for one in measured]
            spread = f"{min(costs):.1f}-{max(costs):.1f}"
            per_second = statistics.median(one.per_second for one in measured)
            memory = resident_bytes(servers[name][1]) / 2**20
            cost = statistics.median(costs)
            print(f"{name:15}{cost:12.1f}{spread:>14}{per_second:12.0f}{memory:9.1f}")


if __name__ == "__main__":
    missing = [tool for tool in ("h2load", "nginx", "haproxy") if shutil.which(tool) is None]
    if missing:
        raise SystemExit(f"not installed: {', '.join(missing)}; `make bench-peers` installs them")
    main()
