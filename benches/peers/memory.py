"""What a proxy holds, and how soon it is there: each function is a `Measure` or returns one."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from benches.peers.loads import BODY_BYTES, HTTP1_FIELDS, requests
from benches.peers.native import program
from benches.peers.proxies import HOST
from benches.peers.proxies.meshcore import ready_file
from benches.peers.scenario import Measured, Running

STEPS = (1_000, 2_000)
START_SECONDS = 20.0
MIB = 2**20


def for_idle_connection(running: Running, _seconds: float) -> Measured:
    """Memory for a connection that had one request and is kept, in KiB.

    The slope from 1,000 to 2,000 of them, so that what is made once is not counted.
    """
    steps = ",".join(map(str, STEPS))
    command = [program("load"), "idle", *HTTP1_FIELDS, "--port", running.port, "--steps", steps]
    if running.setting.accepts_tls:
        command += ["--tls", running.setting.certificates]
    pipe = subprocess.PIPE
    held = []
    with subprocess.Popen(list(map(str, command)), stdin=pipe, stdout=pipe) as load:
        assert load.stdin is not None
        assert load.stdout is not None
        for step in STEPS:
            line = load.stdout.readline()
            if not line or json.loads(line)["open"] != step:
                raise SystemExit(f"no {step} connections to {running.setting.port}: {line!r}")
            time.sleep(0.3)  # until buffers are given back
            held.append(running.resident_bytes())
            load.stdin.write(b"\n")
            load.stdin.flush()
    return Measured((held[1] - held[0]) / (STEPS[1] - STEPS[0]) / 1024)


def idle(running: Running, _seconds: float) -> Measured:
    """Memory of all processes after some requests and the first scrape, in MiB."""
    requests(connections=1, rate=100)(running, 0.2)
    if url := _metrics(running):
        with urllib.request.urlopen(url, timeout=10) as scraped:
            assert b"# TYPE" in scraped.read()
    time.sleep(1.0)
    return Measured(running.resident_bytes() / MIB)


def first_response(running: Running, _seconds: float) -> Measured:
    """Time from the start of the first process to the first answer with 200, in ms."""
    url = f"http://127.0.0.1:{running.port}/"
    request = urllib.request.Request(url, headers={"host": HOST})
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                assert answer.status == 200
                assert answer.read() == b"x" * BODY_BYTES
                break
        except OSError as error:
            if time.monotonic() > running.began + START_SECONDS:
                raise SystemExit(f"{running.setting.directory}: no answer: {error}") from error
            time.sleep(0.002)
    return Measured((time.monotonic() - running.began) * 1e3)


def _metrics(running: Running) -> str | None:
    """Where its metrics are, if it has some."""
    if (ready := ready_file(running.setting)).exists():
        address = json.loads(ready.read_text())["addresses"]["metrics"]
        return f"http://{address}/stats/prometheus"
    admin: Path = running.setting.directory / "admin"
    return f"http://{admin.read_text()}/stats/prometheus" if admin.exists() else None
