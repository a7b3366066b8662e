"""Changes redirections for a supervisor: `python -m meshcore.cli.redirecting apply|clear [JSON]`.

A process of its own, so that what runs the tools does not stay in memory.
"""

import json
import sys

from meshcore.control import redirect
from meshcore.control.interception.capture import Capture
from meshcore.errors import InterceptFailed


def main() -> int:
    """Does what the arguments say; returns the exit status."""
    try:
        if sys.argv[1] == "clear":
            redirect.clear()
        else:
            wanted = json.loads(sys.argv[2])
            by = redirect.backend(wanted["backend"])
            redirect.apply(Capture.from_dict(wanted["capture"]), by)
    except InterceptFailed as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
