"""Spellings of a denied path, sent through a sidecar's inbound side to two real origins."""

import asyncio
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.reliability import rig
from tests.reliability.path_cases import legal, spellings

AT_ONCE = 16
CONTENT = b"the secret is out"
ORIGINS = ("nginx", "python")
# What an origin says of itself, and meshcore does not say of itself.
_SERVER = (b"\nserver: nginx", b"\nserver: simplehttp")
_DENY = """---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: private, namespace: default}
spec:
  action: DENY
  rules: [{to: [{operation: {paths: ["/private*"]}}]}]
"""


@dataclass
class Outcome:
    """What became of the spellings at one origin."""

    origin: str
    spellings: int = 0
    direct: int = 0
    """Reach the file when the origin is asked without a proxy."""
    leaked: list[str] = field(default_factory=list)
    legal: int = 0
    refused: list[str] = field(default_factory=list)
    """Legal paths that did not reach the origin."""


async def _get(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        target = path.encode()
        writer.write(
            b"GET " + target + b" HTTP/1.1\r\nHost: app.test:8080\r\nConnection: close\r\n\r\n"
        )
        async with asyncio.timeout(5):
            return await reader.read()
    except (OSError, TimeoutError):
        return b""
    finally:
        writer.transport.abort()


async def _get_all(port: int, paths: Sequence[str]) -> list[bytes]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(path: str) -> bytes:
        async with gate:
            return await _get(port, path)

    return await asyncio.gather(*map(one, paths))


def through(origin: str, denied: Sequence[str], allowed: Sequence[str]) -> Outcome:
    """Asks an origin of that name for all, directly and through a sidecar that denies."""
    outcome = Outcome(origin, spellings=len(denied), legal=len(allowed))
    with (
        tempfile.TemporaryDirectory(prefix="meshcore-paths-") as directory,
        _serving(origin, Path(directory)) as port,
        rig.meshcore(Path(directory), port, more=_DENY) as proxy,
    ):
        direct = asyncio.run(_get_all(port, denied))
        outcome.direct = sum(CONTENT in got for got in direct)
        for path, got in zip(denied, asyncio.run(_get_all(proxy.inbound, denied)), strict=True):
            if CONTENT in got:
                outcome.leaked.append(path)
        for path, got in zip(allowed, asyncio.run(_get_all(proxy.inbound, allowed)), strict=True):
            if not any(server in got.lower() for server in _SERVER):
                outcome.refused.append(f"{path}: {got[:60]!r}")
    return outcome


@contextmanager
def _serving(origin: str, directory: Path) -> Iterator[int]:
    files = directory / "files"
    (files / "private").mkdir(parents=True)
    (files / "public").mkdir()
    (files / "private/secret.txt").write_bytes(CONTENT)
    for path in (directory, files, files / "private", files / "public"):
        path.chmod(0o755)  # nginx may give up root
    (files / "private/secret.txt").chmod(0o644)
    serve = rig.nginx_files if origin == "nginx" else _python_files
    with serve(directory, files) as port:
        yield port


@contextmanager
def _python_files(directory: Path, files: Path) -> Iterator[int]:
    port = rig.free_port()
    command = [
        sys.executable,
        "-m",
        "http.server",
        "--bind",
        "127.0.0.1",
        "--directory",
        str(files),
    ]
    with rig.server([*command, str(port)], port, directory):
        yield port


def table(outcomes: Sequence[Outcome]) -> str:
    """Returns the figures, as Markdown."""
    head = "| origin | spellings | without a proxy | **through the policy** | legal that arrive |"
    lines = [head, "|---|---|---|---|---|"]
    lines += [
        f"| {o.origin} | {o.spellings} | {o.direct} | {len(o.leaked)}"
        f" | {o.legal - len(o.refused)} of {o.legal} |"
        for o in outcomes
    ]
    return "\n".join(lines)


def full() -> list[Outcome]:
    """Runs everything."""
    return [through(origin, spellings(), legal()) for origin in ORIGINS]
