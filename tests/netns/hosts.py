"""Two hosts with a link between them, in network namespaces, and programs on them."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

MESHCORE = str(Path(sys.executable).with_name("meshcore"))
WITHIN_SECONDS = 30.0


class Host:
    """A network namespace with an address of each family."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.address, self.address6 = f"10.77.0.{number}", f"fd77::{number}"
        self._processes: list[subprocess.Popen[str]] = []

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a command there, and returns what it said."""
        done = subprocess.run(
            self._inside(command), capture_output=True, text=True, check=False,
            timeout=WITHIN_SECONDS,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stderr
        return done

    def python(self, program: str, *arguments: str) -> str:
        """Returns what a program printed."""
        return self.run(sys.executable, "-c", program, *arguments).stdout

    def start(self, *command: str, log: Path) -> "subprocess.Popen[str]":
        """Starts a program there; it is stopped with the host."""
        with log.open("w") as out:
            process = subprocess.Popen(
                self._inside(command), stdout=out, stderr=out, text=True, start_new_session=True
            )
        self._processes.append(process)
        return process

    def sidecar(self, folder: Path, *options: str, command: tuple[str, ...] = ()) -> "Sidecar":
        """Starts a sidecar with interception, as root in the group that is let pass."""
        ready = folder / f"ready-{self.name}.json"
        words = (
            MESHCORE, "run", "--intercept", "--intercept-user", "root", "--mesh",
            str(folder / "mesh"), "--state", str(folder / "state"), "--drain", "1s",
            "--ready-file", str(ready), *options,
        )  # fmt: skip
        log = folder / f"{self.name}.log"
        process = self.start(*words, *(("--", *command) if command else ()), log=log)
        return Sidecar(process, ready, log)

    def resolve_by(self, text: str) -> None:
        """Gives programs there a resolv.conf of their own. Source: ip-netns(8)."""
        self._etc.mkdir(parents=True)
        (self._etc / "resolv.conf").write_text(text)

    @property
    def _etc(self) -> Path:
        return Path("/etc/netns") / self.name

    def stop(self) -> None:
        """Ends all that runs there."""
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait(WITHIN_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()
        shutil.rmtree(self._etc, ignore_errors=True)

    def _inside(self, command: tuple[str, ...]) -> list[str]:
        return ["ip", "netns", "exec", self.name, *command]


class Sidecar:
    """A running `meshcore run --intercept`."""

    def __init__(self, process: "subprocess.Popen[str]", ready: Path, log: Path) -> None:
        self.process, self.ready, self.log = process, ready, log

    def wait(self) -> int:
        """Waits until it serves; returns the process number of the sidecar itself."""
        end = time.monotonic() + WITHIN_SECONDS
        while not self.ready.exists():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.02)
        pid: int = json.loads(self.ready.read_text())["pid"]
        return pid


def until(said: str, log: Path) -> None:
    """Waits until a program has said something."""
    end = time.monotonic() + WITHIN_SECONDS
    while said not in log.read_text():
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.02)


def link(server: Host, client: Host) -> None:
    """Makes two hosts, and a link between them that is the default route of both."""
    for host in (server, client):
        _ip("netns", "add", host.name)
        host.run("ip", "link", "set", "lo", "up")
    _ip("link", "add", "eth0", "netns", server.name, "type", "veth", "peer", "name", "eth0",
        "netns", client.name)  # fmt: skip
    for host, other in ((server, client), (client, server)):
        host.run("ip", "addr", "add", f"{host.address}/24", "dev", "eth0")
        host.run("ip", "addr", "add", f"{host.address6}/64", "dev", "eth0", "nodad")
        host.run("ip", "link", "set", "eth0", "up")
        host.run("ip", "route", "add", "default", "via", other.address)
        host.run("ip", "-6", "route", "add", "default", "via", other.address6)


def unlink(*hosts: Host) -> None:
    """Ends what runs on hosts, and removes them."""
    for host in hosts:
        host.stop()
        subprocess.run(["ip", "netns", "delete", host.name], check=False, capture_output=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
