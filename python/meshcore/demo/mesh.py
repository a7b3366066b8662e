"""How the mesh of the demo is started: the one place that knows which processes it is made of."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from meshcore.demo.addresses import DOOR, PROGRAM_PORT, WORKLOADS, Taken
from meshcore.demo.processes import Command, Processes

# The sidecar that a browser comes in by.
_DOOR = "door"


@dataclass(frozen=True, slots=True)
class Mesh:
    """A mesh below a directory, of sidecars that read the documents."""

    directory: Path
    addresses: Taken

    @property
    def url(self) -> str:
        """Where a browser comes in."""
        return f"http://{DOOR}:{self.addresses.door_port}/"

    def commands(self) -> Iterator[tuple[str, Command]]:
        """Yields the command of each sidecar with its program, by the name of the workload."""
        for workload in WORKLOADS:
            service, _, version = workload.partition("-")
            address = self.addresses.address(workload)
            run = f"{_run(workload)} --service {service} --address {address}"
            if version:
                run += f" --version {version}"
            if service == "shop":
                run += " --plugin policy.py"
            program = f"python -m meshcore.demo.services.{service} {address} {PROGRAM_PORT}"
            yield workload, Command.of(f"{run} -- {program} {version}")
        ports = f"--outbound-port {self.addresses.door_port}" + "".join(
            f" --{port}-port 0" for port in ("admin", "health", "metrics")
        )
        door = f"{_run(_DOOR)} --service {_DOOR} --address {DOOR} --no-inbound {ports}"
        yield _DOOR, Command.of(door)

    def start(self, processes: Processes) -> Iterator[str]:
        """Starts everything; yields the name of each sidecar when it is ready.

        Raises:
            StartFailed: One of them does not start.
        """
        commands = dict(self.commands())
        for name, command in commands.items():
            processes.start(name, command)
        yield from processes.wait_ready(list(commands))

    def has_programs(self) -> bool:
        """Whether all programs behind the sidecars listen."""
        return all(_listens(self.addresses.address(workload)) for workload in WORKLOADS)


def _run(workload: str) -> str:
    """Returns the begin of a sidecar's command. Requests of the demo end in milliseconds."""
    return (
        f"meshcore run --mesh mesh --drain 2s --concurrency 1 "
        f"--access-log {workload}.access.log --ready-file {workload}.ready"
    )


def _listens(address: str) -> bool:
    try:
        socket.create_connection((address, PROGRAM_PORT), timeout=1).close()
    except OSError:
        return False
    return True
