"""The version as a line. Imports next to nothing."""

import sys

from meshcore import __version__


def versions() -> dict[str, str]:
    """Returns the versions of meshcore and Python."""
    return {"meshcore": __version__, "python": ".".join(map(str, sys.version_info[:3]))}


def about() -> str:
    """Returns them as a line."""
    found = versions()
    return f"meshcore {found['meshcore']} (Python {found['python']})"
