"""The last state that was put in force, on disk for the next start."""
# pathlib would take 1.3 MB beside the data plane.
# ruff: noqa: PTH103, PTH110, PTH120, PTH123

import os
from dataclasses import dataclass

from meshcore.control.atomic import write


@dataclass(frozen=True, slots=True)
class LastGood:
    """One sidecar's file of it. What is written is what `control.prepare` answered."""

    path: str

    def write(self, answer: bytes) -> None:
        """Replaces the file.

        Raises:
            OSError: It cannot be written; the file of before stays.
        """
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        write(self.path, answer)

    def read(self) -> bytes | None:
        """Returns what was written; `None` if nothing was, or it cannot be read."""
        try:
            with open(self.path, "rb") as file:
                return file.read()
        except OSError:
            return None

    @property
    def exists(self) -> bool:
        """Whether something was written."""
        return os.path.exists(self.path)
