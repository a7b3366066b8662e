"""Servers to forward to, which are never the bottleneck."""

from pathlib import Path
from typing import Literal

from benches.peers.native import program
from benches.peers.proxies.nginx import nginx_command
from benches.peers.proxies.setting import Setting

BODY = "x" * 1024


def origin(directory: Path, port: int) -> list[str]:
    """Returns the command of an nginx that answers 1 KiB from memory, to any request."""
    location = f"location / {{ default_type text/plain; return 200 '{BODY}'; }}"
    return nginx_command(Setting(directory, port, 0), "origin", location)


def fast(what: Literal["http", "http2", "echo", "count"], directory: Path, port: int) -> list[str]:
    """Returns the command of one for a bench.

    Args:
        what: `http` answers 1 KiB, and so does `http2`; `echo` sends back what comes; `count` says
            at the end how many bytes came.
        directory: For its files.
        port: Where it listens.
    """
    if what != "http2":
        return [program("origin"), what, "--port", str(port)]
    files = directory / "files"
    for name in ("index.html", "x"):
        files.mkdir(exist_ok=True)
        (files / name).write_text(BODY)
    tuned = ["--no-tls", "--address=127.0.0.1", "--max-concurrent-streams=1000"]
    return ["nghttpd", *tuned, "-d", str(files), str(port)]
