"""What is done to a proxy in a round: each is a `Measure`, or returns one.

The value is processor time of the proxy for a unit of work, in microseconds.
"""

import json
import re
import subprocess
from collections.abc import Sequence

from benches.peers.native import program
from benches.peers.processes import LOAD_PROCESSOR
from benches.peers.proxies import last_path
from benches.peers.scenario import Measure, Measured, Running

US = 1e6
BODY_BYTES = 1024
# Of every request, beside the host: about 650 bytes, as a browser's.
FIELDS = {
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "accept-language": "en-US,en;q=0.5",
    "accept-encoding": "gzip, deflate, br",
    "cookie": f"session={'c' * 220}",
    "x-request-id": "0a4dd1ba-7f1c-4c8f-9f2e-1f2b3c4d5e6f",
    "x-forwarded-proto": "http",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0bb902b7-01",
    "x-tenant": "reviews-team",
}
_LINES = [f"{name}: {value}" for name, value in FIELDS.items()]
HTTP1_FIELDS = ["--fields", "\r\n".join(_LINES)]
HTTP2_FIELDS = [option for line in _LINES for option in ("-H", line)]
STUCK_SECONDS = 120


def requests(connections: int = 32, rate: int | None = None) -> Measure:
    """HTTP/1.1 requests over kept connections: saturated, or so many a second."""

    def measure(running: Running, seconds: float) -> Measured:
        setting = running.setting
        entries = max(setting.routes, setting.rules)
        options = ["--connections", connections, "--seconds", seconds]
        options += ["--path", last_path(entries)] if entries > 1 else []
        options += ["--rate", rate] if rate else []
        return ask(running, "http", *HTTP1_FIELDS, *options)

    return measure


def ping_pong(connections: int = 16, size: int = 64) -> Measure:
    """Messages of so many bytes that come back, over kept connections."""
    options = ["--connections", connections, "--bytes", size]
    return lambda running, seconds: ask(running, "echo", *options, "--seconds", seconds)


def bulk(running: Running, seconds: float) -> Measured:
    """One way, as fast as it goes; for a MiB."""
    return ask(running, "bulk", "--mebibytes", running.count(seconds, 64))


def handshakes(running: Running, seconds: float) -> Measured:
    """Full handshakes with a client's certificate, one after the other; for one of them."""
    return ask(running, "handshakes", "--count", running.count(seconds, 50))


def ask(running: Running, what: str, *options: object) -> Measured:
    """Runs the load of `crates/meshcore-bench`, which ends at the first wrong answer."""
    command = [program("load"), what, "--port", running.port, *options]
    if running.setting.accepts_tls:
        command += ["--tls", running.setting.certificates]
    before = running.cpu_seconds()
    said = json.loads(on_load_processor(command))
    used = running.cpu_seconds() - before
    units, took = said.pop("units"), said.pop("seconds")
    running.pace["per_second"] = units / took
    notes = {"per_second": units / took, "busy": used / took}
    # A load that waits for answers does not see the slow ones: its latencies say nothing.
    return Measured(used / units * US, notes | said if "--rate" in options else notes)


def multiplexed(connections: int, streams: int) -> Measure:
    """HTTP/2 requests, `streams` at once on each connection."""

    def measure(running: Running, seconds: float) -> Measured:
        # Counted, not timed: h2load gives up what is under way when its time is over.
        count = running.count(seconds, 2_000)
        url = f"http://127.0.0.1:{running.port}/x"
        command = ["h2load", f"-n{count}", f"-c{connections}", f"-m{streams}"]
        command += ["-H", ":authority: origin.test", *HTTP2_FIELDS, url]
        before = running.cpu_seconds()
        said = on_load_processor(command)
        used = running.cpu_seconds() - before
        data = count * BODY_BYTES
        if f"{count} succeeded" not in said or f"status codes: {count} 2xx" not in said:
            raise SystemExit(f"not every request succeeded:\n{said}")
        if f"({data}) data" not in said:
            raise SystemExit(f"not every answer was whole, {data} bytes in all:\n{said}")
        found = re.search(r"finished in .*?, ([\d.]+) req/s", said)
        if found is None:
            raise SystemExit(f"h2load said something else:\n{said}")
        per_second = running.pace["per_second"] = float(found[1])
        notes = {"per_second": per_second, "busy": used * per_second / count}
        return Measured(used / count * US, notes)

    return measure


def on_load_processor(command: Sequence[object]) -> str:
    """Runs a program to its end beside the origin; returns what it printed.

    Raises:
        SystemExit: It failed.
    """
    pinned = ["taskset", "--cpu-list", str(LOAD_PROCESSOR), *map(str, command)]
    try:
        done = subprocess.run(
            pinned, capture_output=True, check=False, text=True, timeout=STUCK_SECONDS
        )
    except subprocess.TimeoutExpired as stuck:
        raise SystemExit(f"{' '.join(pinned)} does not end") from stuck
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(pinned)} failed:\n{done.stderr}{done.stdout}")
    return done.stdout
