"""Programs that end with the process that started them, however that ends.

`python -m meshcore.demo.bound PID COMMAND...` becomes the command, bound to its parent PID.
"""

import ctypes
import os
import signal
import sys

# Asks for a signal when the parent is gone; kept when the process becomes another program.
# Source: prctl(2).
_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int) -> bool:
    """Asks for SIGTERM when the parent is gone; whether process `parent` is still that."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    return os.getppid() == parent


def main() -> int:
    """Becomes the command of the arguments."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if not end_with_parent(parent):
        return 1  # nobody is left to work for
    try:
        os.execvp(command[0], command)  # noqa: S606 - the demo says which
    except OSError as error:
        sys.stderr.write(f"error: {command[0]}: {(error.strerror or str(error)).lower()}\n")
        return 127


if __name__ == "__main__":
    sys.exit(main())
