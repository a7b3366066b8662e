"""A mesh of real processes on loopback addresses of its own.

`Mesh` is a directory with documents, the programs and sidecars that were started below it, and
their logs. Whatever it started it ends, and nothing else.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

PROGRAMS = Path(__file__).with_name("programs")
MESHCORE = Path(sys.executable).with_name("meshcore")
# What a loaded machine of two processors needs at most.
WITHIN_SECONDS = 20.0
# Of the lock that says that a subnet is taken.
_LOCK_PORT = 10066


def eventually(look: Callable[[], T], within: float = WITHIN_SECONDS) -> T:
    """Returns what `look` returns once it is true; fails when it stays false."""
    end = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < end, f"{look} stayed {found!r} for {within} s"
        time.sleep(0.01)
    return found


def connects(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def children(pid: int, mark: str) -> list[int]:
    """Returns the children of a process whose command has `mark` in it."""

    def command(child: str) -> str:
        try:
            return Path("/proc", child, "cmdline").read_text()
        except OSError:
            return ""  # it has just ended

    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed if mark in command(child)]


@dataclass
class Process:
    """A program that runs, and its output."""

    process: subprocess.Popen[bytes]
    output: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait(self, within: float = WITHIN_SECONDS) -> int:
        return self.process.wait(within)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@dataclass
class Sidecar(Process):
    """`meshcore run`, ready."""

    ready_file: Path
    access_log: Path
    ready_after_seconds: float = 0.0
    addresses: dict[str, str] = field(default_factory=dict)

    def wait_ready(self, began: float) -> None:
        def look() -> bool:
            assert self.process.poll() is None, f"it ended:\n{self.said()}"
            return self.ready_file.exists()

        eventually(look)
        self.ready_after_seconds = time.monotonic() - began
        self.addresses = json.loads(self.ready_file.read_text())["addresses"]

    @property
    def outbound(self) -> str:
        return f"http://{self.addresses['outbound']}"

    def host_port(self, listener: str) -> tuple[str, int]:
        host, _, port = self.addresses[listener].rpartition(":")
        return host, int(port)

    def admin(self, path: str) -> str:
        with urllib.request.urlopen(f"http://{self.addresses['admin']}{path}", timeout=10) as got:
            return got.read().decode()

    def status(self) -> dict:
        return json.loads(self.admin("/status"))

    def scrape(self) -> str:
        url = f"http://{self.addresses['metrics']}/stats/prometheus"
        with urllib.request.urlopen(url, timeout=10) as got:
            return got.read().decode()

    def revision_after(self, revision: int) -> int:
        """Waits until a later revision is in force, and returns its number."""
        eventually(lambda: self.status()["revision"] > revision)
        return self.status()["revision"]

    def log_lines(self) -> list[str]:
        return self.access_log.read_text().splitlines() if self.access_log.exists() else []

    def log_line(self, mark: str) -> str:
        """Returns the line of the access log with `mark` in it, when it has been written."""
        return str(
            eventually(lambda: next((line for line in self.log_lines() if mark in line), None))
        )

    def memory_bytes(self) -> int:
        text = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in text.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024


@dataclass
class Control(Process):
    """`meshcore control`, ready."""

    ready_file: Path
    addresses: dict[str, str] = field(default_factory=dict)

    def wait_ready(self) -> None:
        def look() -> bool:
            assert self.process.poll() is None, f"it ended:\n{self.said()}"
            return self.ready_file.exists()

        eventually(look)
        self.addresses = json.loads(self.ready_file.read_text())["addresses"]

    @property
    def plain(self) -> str:
        """What `--control` takes for plain text."""
        return f"http://{self.addresses['plain']}"

    @property
    def secure(self) -> str:
        """What `--control` takes for TLS."""
        return self.addresses["secure"]


@dataclass
class Load(Process):
    """Callers that go on until they are told to end."""

    def end_of_it(self) -> dict:
        self.signal()
        assert self.wait() == 0, self.said()
        return json.loads(self.said().splitlines()[-1])


@dataclass
class Mesh:
    """A directory of documents and everything that runs by them."""

    directory: Path
    subnet: str
    processes: list[Process] = field(default_factory=list)

    @property
    def documents(self) -> Path:
        return self.directory / "mesh"

    def address(self, last: int) -> str:
        """Returns an address of this mesh alone."""
        return f"{self.subnet}.{last}"

    def write(self, text: str, name: str = "mesh.yaml") -> Path:
        """Writes a document at once and whole. `@` in it stands for the subnet with its dot."""
        self.documents.mkdir(exist_ok=True)
        beside = self.directory / f".{name}.new"
        beside.write_text(text.replace("@", f"{self.subnet}."))
        return beside.replace(self.documents / name)

    def start(self, *command: object) -> Process:
        """Starts a program; its output goes to a file."""
        number = len(self.processes)
        output = self.directory / f"{number}.out"
        process = Process(self._popen(command, output), output)
        self.processes.append(process)
        return process

    def program(self, name: str, last: int, port: int, *more: object) -> Process:
        """Starts one of `programs/` and waits until it listens."""
        address = self.address(last)
        process = self.start(sys.executable, PROGRAMS / f"{name}.py", address, port, *more)

        def look() -> bool:
            assert process.process.poll() is None, process.said()
            return connects(address, port)

        eventually(look)
        return process

    def load(self, sidecar: Sidecar, authority: str, rate: int = 1000) -> Load:
        """Starts callers of a service; `Load.end_of_it` says how they fared."""
        host, port = sidecar.host_port("outbound")
        command = (sys.executable, PROGRAMS / "load.py", host, port, authority, rate)
        output = self.directory / f"{len(self.processes)}.out"
        load = Load(self._popen(command, output), output)
        self.processes.append(load)
        eventually(lambda: "started" in load.said())
        return load

    def sidecars(self, *each: tuple[object, ...]) -> list[Sidecar]:
        """Starts sidecars, each with its options, and waits until all are ready."""
        began = time.monotonic()
        started = [self._sidecar(options) for options in each]
        for one in started:
            one.wait_ready(began)
        return started

    def sidecar(self, *options: object) -> Sidecar:
        return self.sidecars(options)[0]

    def gateway(self, *options: object) -> Sidecar:
        """Starts a gateway with its name and options, and waits until it is ready."""
        began = time.monotonic()
        started = self._sidecar(options, role="--gateway")
        started.wait_ready(began)
        return started

    def control(self, *options: object) -> Control:
        """Starts a control plane with the documents of this mesh, and waits until it serves."""
        number = len(self.processes)
        ready, output = self.directory / f"{number}.ready", self.directory / f"{number}.out"
        command = (
            MESHCORE, "control", "--mesh", self.documents, "--ready-file", ready,
            "--state", self.directory / "control", "--address", "127.0.0.1",
            "--monitoring-port", 0, *options,
        )  # fmt: skip
        control = Control(self._popen(command, output), output, ready)
        self.processes.append(control)
        control.wait_ready()
        return control

    def token(self, service: str) -> Path:
        """Returns a file with a token of the control plane for a service."""
        path = self.directory / f"{service}.token"
        if not path.exists():
            done = self.meshcore(
                "token", "create", "--service", service, "--state", self.directory / "control",
                "--out", path,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
        return path

    def joined(self, control: str, *options: object, role: str = "--service") -> Sidecar:
        """Starts a sidecar that belongs to a control plane, and waits until it is ready."""
        began = time.monotonic()
        sidecar = self._sidecar(options, ("--control", control), role)
        sidecar.wait_ready(began)
        return sidecar

    def meshcore(self, *command: object) -> subprocess.CompletedProcess[str]:
        """Runs a command of meshcore to its end."""
        return subprocess.run(
            [str(MESHCORE), *map(str, command)], cwd=self.directory, check=False,
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    def close(self) -> None:
        for process in reversed(self.processes):
            process.end()

    def _sidecar(
        self,
        options: tuple[object, ...],
        belongs: tuple[object, ...] | None = None,
        role: str = "--service",
    ) -> Sidecar:
        number = len(self.processes)
        ready, log, output = (
            self.directory / f"{number}.{suffix}" for suffix in ("ready", "log", "out")
        )
        command = (
            MESHCORE, "run", *(belongs or ("--mesh", self.documents)), "--ready-file", ready,
            "--access-log", log, "--drain", "5s", role, *options,
        )  # fmt: skip
        sidecar = Sidecar(self._popen(command, output), output, ready, log)
        self.processes.append(sidecar)
        return sidecar

    def _popen(self, command: tuple[object, ...], output: Path) -> subprocess.Popen[bytes]:
        with output.open("wb") as log:
            return subprocess.Popen(
                list(map(str, command)), cwd=self.directory, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip


@contextmanager
def mesh(directory: Path) -> Iterator[Mesh]:
    """A mesh in `directory` and in a subnet that no other test run on this host uses."""
    with _subnet() as subnet:
        made = Mesh(directory, subnet)
        try:
            yield made
        finally:
            made.close()


@contextmanager
def _subnet() -> Iterator[str]:
    for third in range(1, 255):
        lock = socket.socket()
        try:
            lock.bind((f"127.66.{third}.254", _LOCK_PORT))
        except OSError:
            lock.close()
            continue
        with lock:
            yield f"127.66.{third}"
        return
    raise OSError("all subnets of 127.66 are taken")


@dataclass(frozen=True)
class Curl:
    """What curl got."""

    exit_status: int
    code: int
    head: str
    body: bytes
    said: str

    def json(self) -> dict:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        """Returns a field of the last head."""
        last = self.head.replace("\r", "").rstrip("\n").split("\n\n")[-1]
        fields = (line.partition(":") for line in last.splitlines()[1:])
        return next((v.strip() for n, _, v in fields if n.lower() == name), None)


def curl(*arguments: object, stdin: bytes = b"", within: float = 15) -> Curl:
    """Runs curl. Its body is kept apart from the heads."""
    read, write = os.pipe()
    with os.fdopen(read, "rb") as heads:
        try:
            done = subprocess.run(
                ["curl", "-sS", "--noproxy", "", "--max-time", str(within), "-D",
                 f"/dev/fd/{write}", "-w", "%{stderr}\n%{http_code}", *map(str, arguments)],
                pass_fds=[write], check=False, capture_output=True, input=stdin,
            )  # fmt: skip
        finally:
            os.close(write)
        head = heads.read().decode("latin-1")
    said, _, code = done.stderr.decode().rpartition("\n")
    return Curl(done.returncode, int(code), head, done.stdout, said)
