"""How the mesh of the demo is started: the one place that knows which processes it is made of."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from meshcore.demo.addresses import DOOR, PROGRAM_PORT, WORKLOADS, Taken
from meshcore.demo.processes import Command, Processes

# The sidecar that a browser comes in by.
_DOOR = "door"
# Requests of the demo take milliseconds.
_RUN = "meshcore run --mesh mesh --concurrency 1 --drain 2s"


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
            run = f"{_RUN} --service {service} --address {address}"
            if version:
                run += f" --version {version}"
            if service == "shop":
                run += " --plugin policy.py"
            program = f"python -m meshcore.demo.services.{service} {address} {PROGRAM_PORT}"
            yield workload, Command.of(f"{run} -- {program} {version}")
        ports = f"--outbound-port {self.addresses.door_port}" + "".join(
            f" --{port}-port 0" for port in ("admin", "health", "metrics")
        )
        door = f"{_RUN} --service {_DOOR} --address {DOOR} --no-inbound {ports}"
        yield _DOOR, Command.of(door)

    def start(self, processes: Processes) -> Iterator[str]:
        """Starts everything; yields the name of each sidecar when it is ready.

        Raises:
            StartFailed: One of them does not start.
        """
        names: list[str] = []
        for name, command in self.commands():
            options = ("--ready-file", f"{name}.ready", "--access-log", f"{name}.access.log")
            processes.start(name, _with(command, options))
            names.append(name)
        yield from processes.wait_ready(names)


def _with(command: Command, options: tuple[str, ...]) -> Command:
    """Returns the command with more options of its own, before those of the program."""
    program, verb, *more = command.words
    return Command((program, verb, *options, *more))
