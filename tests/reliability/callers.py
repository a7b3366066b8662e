"""Callers of four kinds that go on until SIGTERM: callers.py ADDRESS PORT RATE.

ADDRESS and PORT are a sidecar's outbound listener; RATE is of all questions together, each second.
When it ends it says, as JSON, how many questions of each kind there were and what failed. Nothing
is asked a second time, but what HTTP/2 says was not looked at.
"""

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

import grpc
from tests.reliability.h2_wire import (
    ACK,
    GOAWAY,
    PING,
    PREFACE,
    SETTINGS,
    WINDOW,
    Frame,
    Receiver,
    Stream,
    frame,
    head,
    read_frame,
)

HOST, PORT, RATE = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
WITHIN_SECONDS = 20.0
# Questions on one gRPC stream or one TCP connection, before there is another.
TALK = 50
# Callers of each kind, and the part of all questions that is theirs.
CALLERS = {"http1 kept": (4, 0.35), "http1 new": (2, 0.15), "http2": (8, 0.3),
           "grpc": (2, 0.1), "tcp": (2, 0.1)}  # fmt: skip

QUESTION = [(b":method", b"GET"), (b":path", b"/bytes/10"), (b":scheme", b"http"),
            (b":authority", b"api:9080")]  # fmt: skip
# So wide that the answers of a connection's life fit in.
WIDE = (1 << 30).to_bytes(4, "big")

STARTED, END = asyncio.Event(), asyncio.Event()
ASKED: Counter[str] = Counter()
LOST: dict[str, Counter[str]] = {kind: Counter() for kind in CALLERS}

Ask = Callable[[], Awaitable[None]]


class Lost(Exception):
    """A question without its answer."""


class Http1:
    """One caller of HTTP/1."""

    def __init__(self, *, keeps: bool) -> None:
        self._keeps = keeps
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._number = 0

    async def ask(self) -> None:
        """Asks once."""
        try:
            await self._ask()
        except BaseException:
            self._hang_up()
            raise

    async def _ask(self) -> None:
        if self._streams is not None and self._streams[0].at_eof():
            self._hang_up()  # it was closed while nothing was asked
        if self._streams is None:
            self._streams = await asyncio.open_connection(HOST, PORT)
        reader, writer = self._streams
        self._number += 1
        body = b"four" if self._number % 4 == 0 else b""
        method = b"POST" if body else b"GET"
        writer.write(
            method + b" /bytes/10 HTTP/1.1\r\nhost: api:9080\r\ncontent-length: %d\r\n\r\n"
            % len(body) + body
        )  # fmt: skip
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if not head.startswith(b"http/1.1 200 "):
            raise Lost(head.split(b"\r\n")[0].decode())
        length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        if not self._keeps or b"connection: close" in head:
            self._hang_up()

    def _hang_up(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


class Http2:
    """A connection that callers share, and the next one once it is said to end."""

    def __init__(self) -> None:
        self._current: Connection | None = None
        self._opening = asyncio.Lock()

    async def ask(self) -> None:
        """Asks once; again, if it is said that nobody has looked at it."""
        while True:
            async with self._opening:
                if self._current is None or self._current.is_leaving:
                    self._current = await Connection.open()
            if await self._current.ask():
                return


class Connection:
    """One connection of HTTP/2, in raw frames: it goes on after a GOAWAY that leaves time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._task: asyncio.Future[None] | None = None
        self._receiver = Receiver()
        self._answers: dict[int, asyncio.Future[bool]] = {}
        self._next = 1
        self.is_leaving = False

    @classmethod
    async def open(cls) -> "Connection":
        """Opens one."""
        one = cls(*await asyncio.open_connection(HOST, PORT))
        one._writer.write(PREFACE + frame(SETTINGS) + frame(WINDOW, 0, 0, WIDE))
        one._task = asyncio.ensure_future(one._read())
        return one

    async def ask(self) -> bool:
        """Whether it was answered; `False` if it was not looked at."""
        stream, self._next = self._next, self._next + 2
        answer = self._answers[stream] = asyncio.get_running_loop().create_future()
        self._writer.write(head(stream, QUESTION, end=True))
        return await answer

    async def _read(self) -> None:
        with suppress(OSError, EOFError):
            while True:
                self._take(await read_frame(self._reader))
        self.is_leaving = True
        for stream in list(self._answers):
            self._answers.pop(stream).set_exception(Lost("the connection ended"))
        self._writer.close()

    def _take(self, came: Frame) -> None:
        self._receiver.take(came)
        if came.kind in {SETTINGS, PING} and not came.flags & ACK:
            payload = came.payload if came.kind == PING else b""
            self._writer.write(frame(came.kind, ACK, 0, payload))
        elif came.kind == GOAWAY:
            self.is_leaving = True
            last = int.from_bytes(came.payload[:4], "big")
            for stream in [one for one in self._answers if one > last]:
                self._answers.pop(stream).set_result(False)
        elif came.stream:
            self._answered(came.stream, self._receiver.streams[came.stream])

    def _answered(self, number: int, stream: Stream) -> None:
        if (not stream.ended and stream.reset is None) or number not in self._answers:
            return
        del self._receiver.streams[number]
        if (b":status", b"200") in stream.fields and stream.ended:
            self._answers.pop(number).set_result(True)
        else:
            why = f"{stream.fields[:1]}, reset {stream.reset}"
            self._answers.pop(number).set_exception(Lost(why))


class Grpc:
    """One caller that talks on a stream, and on the next one."""

    def __init__(self) -> None:
        options = [("grpc.default_authority", "all:50051"), ("grpc.enable_retries", 0),
                   ("grpc.use_local_subchannel_pool", 1)]  # fmt: skip
        channel = grpc.aio.insecure_channel(f"{HOST}:{PORT}", options=options)
        self._open = channel.stream_stream("/test.Talk/Talk")
        self._call: grpc.aio.StreamStreamCall | None = None
        self._left = 0

    async def ask(self) -> None:
        """Says a word and hears it in capitals."""
        call, self._call = self._call, None  # kept only if all is well
        if call is None:
            call, self._left = self._open(), TALK
        await call.write(b"word")
        if await call.read() != b"WORD":
            raise Lost("the stream ended")
        self._left -= 1
        if self._left:
            self._call = call
            return
        await call.done_writing()
        status = await call.code()
        if status is not grpc.StatusCode.OK:
            raise Lost(f"the stream ended with {status}")


class Tcp:
    """One caller that talks on a connection, and on the next one."""

    def __init__(self) -> None:
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._left = 0

    async def ask(self) -> None:
        """Says something and hears it."""
        try:
            await self._ask()
        except BaseException:
            if self._streams is not None:
                self._streams[1].close()
            self._streams = None
            raise

    async def _ask(self) -> None:
        if self._streams is None:
            self._streams, self._left = await asyncio.open_connection(HOST, PORT), TALK
            self._streams[1].write(b"CONNECT all:7000 HTTP/1.1\r\nhost: all:7000\r\n\r\n")
            head = await self._streams[0].readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 "):
                raise Lost(head.split(b"\r\n")[0].decode())
        reader, writer = self._streams
        writer.write(b"hello")
        if await reader.readexactly(5) != b"hello":
            raise Lost("other bytes")
        self._left -= 1
        if self._left == 0:
            writer.write_eof()
            if await reader.read() != b"goodbye":
                raise Lost("no goodbye")
            writer.close()
            self._streams = None


async def keep_asking(kind: str, ask: Ask, pause: float) -> None:
    """Asks at a pace, until the end."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while not END.is_set():
        try:
            await asyncio.wait_for(ask(), WITHIN_SECONDS)
        except (OSError, EOFError, Lost, grpc.RpcError) as error:
            LOST[kind][repr(error)[:200]] += 1
        ASKED[kind] += 1
        if len(ASKED) == len(CALLERS):
            STARTED.set()
        due = max(due + pause, loop.time() - pause)
        with suppress(TimeoutError):
            await asyncio.wait_for(END.wait(), max(0.0, due - loop.time()))


async def main() -> None:
    """Asks until SIGTERM, and says how it went."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, END.set)
    shared = Http2()
    make: dict[str, Callable[[], Ask]] = {
        "http1 kept": lambda: Http1(keeps=True).ask,
        "http1 new": lambda: Http1(keeps=False).ask,
        "http2": lambda: shared.ask,
        "grpc": lambda: Grpc().ask,
        "tcp": lambda: Tcp().ask,
    }
    async with asyncio.TaskGroup() as group:
        for kind, (count, part) in CALLERS.items():
            for _ in range(count):
                group.create_task(keep_asking(kind, make[kind](), count / (RATE * part)))
        await STARTED.wait()
        print("started", flush=True)
    print(json.dumps({"asked": ASKED, "lost": {kind: LOST[kind] for kind in CALLERS}}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
