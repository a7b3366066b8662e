"""Sidecars as processes on loopback addresses of their own, and an application behind them."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

MESHCORE = [sys.executable, "-m", "meshcore"]
# Tests wait for what they expect; a slow machine only makes them slower.
WITHIN_SECONDS = 30.0

APPLICATION = """
import http.server, os, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        name = sys.argv[2].encode()
        self.send_response(200)
        self.send_header("content-length", str(len(name)))
        self.end_headers()
        self.wfile.write(name)
    def log_message(self, *_): pass
if len(sys.argv) > 3:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(int(sys.argv[3])))
host, _, port = sys.argv[1].rpartition(":")
http.server.ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
"""


def meshcore(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(
        [*MESHCORE, *map(str, arguments)],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, **environment},  # noqa: TID251 - handed on
    )  # fmt: skip


def until(condition: Callable[[], object], what: str) -> object:
    """Waits until a condition holds, and returns what it returned."""
    deadline = time.monotonic() + WITHIN_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, f"no {what} within {WITHIN_SECONDS} s"
        time.sleep(0.02)
    return found


def get(address: str, path: str = "/", host: str = "") -> tuple[int, bytes]:
    """Asks an address; a connection that fails is status 0."""
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", path, headers={"host": host} if host else {})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error).encode()
    finally:
        connection.close()


@dataclass
class Process:
    """A sidecar that runs."""

    process: subprocess.Popen[bytes]
    log_path: Path
    addresses: dict[str, str]
    pid: int

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def status(self) -> dict:
        code, body = get(self.addresses["admin"], "/status")
        assert code == 200
        return json.loads(body)

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(WITHIN_SECONDS)


@dataclass
class Mesh:
    """A directory with a mesh of its own addresses, and what runs of it."""

    directory: Path
    network: str
    started: list[Process] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.directory / "mesh.yaml"

    @property
    def state(self) -> Path:
        return self.directory / ".meshcore"

    def write(self, text: str) -> None:
        """Writes the documents; `NET` becomes the network of this mesh."""
        self.file.write_text(text.replace("NET", self.network))

    def edit(self, old: str, new: str) -> None:
        text = self.file.read_text()
        assert old in text
        self.file.write_text(text.replace(old, new))

    def start(self, *arguments: object, command: tuple[object, ...] = ()) -> Process:
        """Starts a sidecar and waits until it is ready."""
        number = len(self.started)
        ready, log = self.directory / f"ready-{number}", self.directory / f"log-{number}"
        words = [*MESHCORE, "run", "--mesh", self.file, "--ready-file", ready, *arguments]
        if command:
            words += ["--", *command]
        with log.open("wb") as output:
            process = subprocess.Popen([str(word) for word in words], stdout=output, stderr=output)
        one = Process(process, log, {}, process.pid)
        self.started.append(one)
        until(lambda: ready.exists() or process.poll() is not None, "sidecar that is ready")
        assert process.poll() is None, one.log
        known = json.loads(ready.read_text())
        one.addresses, one.pid = known["addresses"], known["pid"]
        return one

    def application(self, address: str, name: str, *more: object) -> tuple[object, ...]:
        """Returns the command of an application that answers with its name."""
        return sys.executable, "-c", APPLICATION, f"{self.network}.{address}", name, *more


TWO_VERSIONS = """\
services:
  reviews:
    port: 9080
    versions: {v1: ["NET.11:9080"], v2: ["NET.12:9080"]}
    split: {v1: 100, v2: 0}
    allow: [web]
  web:
    port: 80
    endpoints: ["NET.10:80"]
"""
