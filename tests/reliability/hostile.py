"""A hostile origin, and the client who comes next.

Each scripted answer is given to one client. Then a victim asks for something else, twice: on the
same connection where it still stands, and on one of its own, which the proxy serves from the same
pool. It must get its own answer and nothing else.
"""

import asyncio
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.reliability import rig
from tests.reliability.hostile_cases import LEAK, Answer, Fate, answers

# How long a client waits for the rest of an answer.
PATIENCE_SECONDS = 1.0
_PATH = re.compile(rb"/(hostile|victim)/(\d+)")
_OUR_ERRORS = (502, 503, 504)


@dataclass
class Outcome:
    """What became of the answers at one proxy."""

    proxy: str
    answers: int = 0
    leaked: list[str] = field(default_factory=list)
    """A victim got something that was not meant for it."""
    starved: list[str] = field(default_factory=list)
    """A victim got no answer, or an error."""
    passed_on: list[str] = field(default_factory=list)
    """An answer that had to be refused came to the client as if it were right."""
    refused: list[str] = field(default_factory=list)
    """An answer that is right did not come to the client."""
    is_alive: bool = True


class HostileOrigin:
    """Gives to `/hostile/N` the answer N, and to `/victim/N` what the victim asked for."""

    def __init__(self, given: Sequence[Answer]) -> None:
        self.given = given

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                kind, number = _PATH.search(head).groups()  # type: ignore[union-attr]
                if kind == b"victim":
                    body = b"victim-" + number
                    writer.write(
                        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
                    )
                else:
                    answer = self.given[int(number)]
                    writer.write(answer.data)
                    if answer.closes:
                        break
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@dataclass
class Seen:
    """What a client got."""

    got: bytes
    is_closed: bool

    @property
    def status(self) -> int:
        """The last status that is not informational; 0 if there is none."""
        found = [int(s) for s in re.findall(rb"^HTTP/1\.1 (\d{3})", self.got, re.MULTILINE)]
        return next((status for status in found if status == 101 or status >= 200), 0)

    @property
    def body(self) -> bytes:
        """What follows the first head that is not informational."""
        heads = re.split(rb"\r\n\r\n", self.got)
        while heads and re.match(rb"HTTP/1\.1 1(?!01)", heads[0]):
            heads.pop(0)
        return b"\r\n\r\n".join(heads[1:])


class Client:
    """One connection to the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, port: int) -> "Client":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, path: str, method: bytes = b"GET", fields: bytes = b"") -> Seen:
        """Sends a request and reads until it is answered, cut, or silent for long."""
        got, is_closed = bytearray(), False
        try:
            self.writer.write(
                method
                + b" "
                + path.encode()
                + b" HTTP/1.1\r\nHost: origin.test\r\n"
                + fields
                + b"\r\n"
            )
            while True:
                patience = PATIENCE_SECONDS if not _is_whole(bytes(got), method) else 0.05
                async with asyncio.timeout(patience):
                    piece = await self.reader.read(65536)
                if not piece:
                    is_closed = True
                    break
                got += piece
        except TimeoutError:
            pass
        except OSError:
            is_closed = True
        return Seen(bytes(got), is_closed)

    def close(self) -> None:
        """Leaves."""
        self.writer.transport.abort()


def _is_whole(got: bytes, method: bytes) -> bool:
    seen = Seen(got, is_closed=False)
    if not seen.status or b"\r\n\r\n" not in got:
        return False
    if method == b"HEAD" or seen.status in {101, 204, 304}:
        return True
    if length := re.search(rb"\r\ncontent-length: (\d+)", got, re.IGNORECASE):
        return len(seen.body) >= int(length[1])
    return got.endswith(b"0\r\n\r\n")


async def _one(port: int, number: int, answer: Answer, outcome: Outcome) -> None:
    first = await Client.connect(port)
    seen = await first.ask(f"/hostile/{number}", answer.method, answer.fields)
    _judge_first(answer, seen, outcome)
    if not seen.is_closed and seen.status != 101:
        _judge_victim(
            answer, number, await first.ask(f"/victim/{number}"), outcome, may_be_cut=True
        )
    first.close()
    for _ in range(2):
        victim = await Client.connect(port)
        _judge_victim(answer, number, await victim.ask(f"/victim/{number}"), outcome)
        victim.close()


def _judge_first(answer: Answer, seen: Seen, outcome: Outcome) -> None:
    is_error = seen.status in _OUR_ERRORS
    if answer.fate is Fate.REFUSED:
        is_cut = seen.is_closed and not _is_whole(seen.got, answer.method)
        if not (is_error or is_cut):
            outcome.passed_on.append(f"{answer.name}: {seen.got[:90]!r}")
    elif is_error or not seen.status:
        outcome.refused.append(f"{answer.name}: {seen.got[:90]!r}")
    if answer.fate is Fate.TAKEN and LEAK in seen.got:
        outcome.leaked.append(f"{answer.name}, to the first client: {seen.got[-90:]!r}")


def _judge_victim(
    answer: Answer, number: int, seen: Seen, outcome: Outcome, *, may_be_cut: bool = False
) -> None:
    if may_be_cut and seen.is_closed and not seen.got:
        return  # the proxy was closing the connection of the first client
    if LEAK in seen.got or (seen.status == 200 and seen.body != b"victim-%d" % number):
        outcome.leaked.append(f"{answer.name}: {seen.got[:90]!r}")
    elif seen.status != 200:
        outcome.starved.append(f"{answer.name}: {seen.got[:90]!r}")


async def _all(port: int, given: Sequence[Answer], outcome: Outcome) -> None:
    for number, answer in enumerate(given):
        await _one(port, number, answer, outcome)


def through(name: str, given: Sequence[Answer]) -> Outcome:
    """Lets the origin answer clients of a proxy of that name."""
    return asyncio.run(_through(name, given))


async def _through(name: str, given: Sequence[Answer]) -> Outcome:
    outcome = Outcome(name, answers=len(given))
    server = await asyncio.start_server(HostileOrigin(given).serve, "127.0.0.1", 0, limit=2**20)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with (
            tempfile.TemporaryDirectory(prefix="meshcore-hostile-") as directory,
            rig.proxy(name, Path(directory), port) as proxy,
        ):
            await _all(proxy.port, given, outcome)
            outcome.is_alive = proxy.is_alive()
    return outcome


def full() -> list[Outcome]:
    """Runs everything."""
    return [through(name, answers()) for name in ("meshcore", *rig.PEERS)]
