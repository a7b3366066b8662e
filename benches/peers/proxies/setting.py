"""What a proxy is to do in a comparison: the same words for all of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

ROOT = Path(__file__).resolve().parents[3]
# The name that clients ask for, and that is in the certificate.
HOST = "origin.test"

Spoken: TypeAlias = Literal["http1", "http2", "tcp"]


@dataclass(frozen=True)
class Setting:
    """Where a proxy listens and what it does, on 127.0.0.1."""

    directory: Path
    """For its files."""
    port: int
    origin: int
    """Port that it forwards to."""
    client_speaks: Spoken = "http1"
    origin_speaks: Spoken = "http1"
    certificates: Path = Path()
    """`ca.pem`, `cert.pem`, `key.pem` and `both.pem`, the last two in one file."""
    accepts_tls: bool = False
    """Clients use TLS, with a certificate that is checked."""
    originates_tls: bool = False
    """So does it, towards the origin."""
    routes: int = 1
    """Entries of the route table; the last of several is for `last_path(routes)`."""
    rules: int = 0
    """Rules of authorization, of which the last allows `last_path(rules)`."""
    inbound: bool = False
    """The side that authorizes, where a proxy has sides."""
    more: str = ""
    """A name of what only this proxy has."""

    def write(self, name: str, text: str) -> Path:
        """Writes a file for the proxy; returns its path."""
        path = self.directory / name
        path.write_text(text)
        return path


Proxy: TypeAlias = Callable[[Setting], list[str]]
"""Returns the command that runs one."""


def path_of(entry: int) -> str:
    """Returns the prefix of an entry of a table."""
    return f"/api/v1/item-{entry}/"


def last_path(entries: int) -> str:
    """Returns a path that only the last entry is for; with a single one, that of all."""
    return f"{path_of(entries - 1)}x" if entries > 1 else "/"
