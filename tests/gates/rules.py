"""The numbers that a data plane may not exceed, and by which rule. They are in `numbers.json`.

`python -m tests.gates.rules` measures them anew and writes them down: after something became
cheaper, so that it stays so, or dearer for a reason that the commit gives. They are of x86-64 with
AVX2, and of the release build.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from benches import counts

NUMBERS = Path(__file__).with_name("numbers.json")
# Repeats of callgrind differ by 0.1 %, those of resident memory by some pages of 2,000 connections.
INSTRUCTIONS_MAY_RISE = 0.03
MEMORY_MAY_RISE = 0.10
# A call that is made once more in a hundred requests is a timer's.
A_CALL = 0.02


@dataclass(frozen=True)
class Numbers:
    """What a request, and an idle connection, take of the data plane without Python."""

    instructions: int
    """Of a request, in user space."""
    system_calls: dict[str, float]
    """Of a request, by name."""
    idle_connection_bytes: int
    """Of memory that is resident."""

    @classmethod
    def kept(cls) -> "Numbers":
        """Returns those of the file."""
        return cls(**json.loads(NUMBERS.read_text()))

    @classmethod
    def measured(cls) -> "Numbers":
        """Returns those of the programs that are built."""
        with counts.setting() as setting:
            return cls(
                round(counts.instructions(setting)),
                counts.system_calls(setting),
                round(counts.idle_connection_bytes(setting)),
            )

    def exceeded(self, now: "Numbers") -> list[str]:
        """Returns what is worse now than the rules allow, in words."""
        found = []
        if now.instructions > self.instructions * (1 + INSTRUCTIONS_MAY_RISE):
            found.append(f"{now.instructions} instructions for a request, not {self.instructions}")
        for name, count in now.system_calls.items():
            if count > (before := self.system_calls.get(name, 0.0)) + A_CALL:
                found.append(f"{count} calls of {name} for a request, not {before}")
        if now.idle_connection_bytes > self.idle_connection_bytes * (1 + MEMORY_MAY_RISE):
            before = self.idle_connection_bytes
            found.append(f"{now.idle_connection_bytes} bytes for an idle connection, not {before}")
        return found


def main() -> None:
    """Measures, shows and keeps."""
    text = json.dumps(asdict(Numbers.measured()), indent=1)
    NUMBERS.write_text(text + "\n")
    print(text)  # noqa: T201 - for whoever renews them


if __name__ == "__main__":
    main()
