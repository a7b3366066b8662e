"""One process for a directory."""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from meshcore.errors import StartFailed


@dataclass(slots=True)
class Lock:
    """The lock on a directory, which ends with the process that holds it, however that ends."""

    descriptor: int

    @classmethod
    def take(cls, directory: Path) -> "Lock":
        """Takes it; the directory is made if it is missing.

        Raises:
            StartFailed: Another process holds it, or the directory cannot be written.
        """
        path = directory / "control.lock"
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise StartFailed(f"{path}: {why}, give a directory to write as --state") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(descriptor, 20).decode(errors="replace").strip() or "?"
            os.close(descriptor)
            raise StartFailed(
                f"another control plane, process {holder}, uses {directory}: end it, or give"
                " another directory as --state"
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        return cls(descriptor)

    def close(self) -> None:
        """Lets go of it."""
        os.close(self.descriptor)
