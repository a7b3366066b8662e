"""From HTTP/2 to HTTP/1 and back: what may not be said in one is not said in the other."""

import asyncio
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.reliability import h2_wire as wire
from tests.reliability import rig
from tests.reliability.h1_attack import attack
from tests.reliability.h1_cases import Case
from tests.reliability.h1_origin import Origin
from tests.reliability.h2_cases import H2Case
from tests.reliability.rfc9112 import judge

AT_ONCE = 16
# How long an answer is waited for.
PATIENCE_SECONDS = 2.0


@dataclass
class Outcome:
    """What became of a corpus on its way through a translation."""

    way: str
    cases: int = 0
    refused: int = 0
    forwarded: int = 0
    ambiguous: list[str] = field(default_factory=list)
    """The origin got something malformed, ambiguous or injected."""
    accepted: list[str] = field(default_factory=list)
    """A malformed request arrived, in whatever form."""
    lost: list[str] = field(default_factory=list)
    """A request that is right did not arrive."""
    silent: list[str] = field(default_factory=list)
    """The client was told nothing."""
    is_alive: bool = True


# === HTTP/2 to HTTP/1 ===


def down(cases: Sequence[H2Case], lenient: Sequence[H2Case], legal: Sequence[H2Case]) -> Outcome:
    """Sends requests by HTTP/2 to an origin of HTTP/1.

    Args:
        cases: Must not arrive.
        lenient: May arrive in a harmless form.
        legal: Must arrive.
    """
    every = [*cases, *lenient, *legal]
    outcome = Outcome("HTTP/2 to HTTP/1", cases=len(every))
    with (
        tempfile.TemporaryDirectory(prefix="meshcore-h2-") as directory,
        Origin().running() as origin,
        rig.meshcore(Path(directory), origin.port) as proxy,
    ):
        told = asyncio.run(_ask_all(proxy.port, every))
        asyncio.run(asyncio.sleep(0.4))  # the last connections of the origin end
        outcome.is_alive = proxy.is_alive()
    malformed = set(map(id, cases))
    for number, case in enumerate(every):
        captured = origin.captured.get(number, [])
        _note_down(outcome, case, captured, must_refuse=id(case) in malformed)
        if not told[number]:
            outcome.silent.append(case.name)
    outcome.ambiguous += [f"no case: {came[:90]!r}" for came in origin.unknown]
    return outcome


def _note_down(
    outcome: Outcome, case: H2Case, captured: Sequence[bytes], *, must_refuse: bool
) -> None:
    verdicts = [judge(came) for came in captured]
    messages = [message for verdict in verdicts for message in verdict.messages]
    why = [v.ambiguous or ", ".join(v.unclean) for v in verdicts if v.ambiguous or v.unclean]
    injected = any(
        message.all(b"x-injected") or b"/hidden/" in message.target for message in messages
    )
    outcome.refused += not captured
    outcome.forwarded += bool(messages)
    if why or injected or len(messages) > 1:
        outcome.ambiguous.append(f"{case.name}: {why} {captured[0][:90]!r}")
    elif messages and must_refuse:
        outcome.accepted.append(f"{case.name}: {captured[0][:200]!r}")
    if case.is_legal and not _is_same(case, messages):
        outcome.lost.append(f"{case.name}: {captured[:1]!r}")


def _is_same(case: H2Case, messages) -> bool:
    return (
        len(messages) == 1
        and messages[0].body == (case.body or b"")
        and len(messages[0].trailers) == len(case.trailers or ())
    )


async def _ask_all(port: int, cases: Sequence[H2Case]) -> list[bool]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, case: H2Case) -> bool:
        async with gate:
            return await _ask(port, number, case)

    return await asyncio.gather(*(one(number, case) for number, case in enumerate(cases)))


async def _ask(port: int, number: int, case: H2Case) -> bool:
    """Sends one request on a connection of its own; whether the client learned its fate."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(wire.PREFACE + wire.frame(wire.SETTINGS) + _frames(case, number))
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await _answered(reader)
    except OSError:
        return True
    except TimeoutError:
        return False
    finally:
        writer.transport.abort()


def _frames(case: H2Case, number: int) -> bytes:
    ends = case.body is None and case.trailers is None
    out = wire.head(1, case.numbered(case.fields, number), end=ends)
    if case.body is not None:
        flags = 0 if case.trailers is not None else wire.END_STREAM
        body = case.body.replace(b"<N>", str(number).encode())
        out += wire.frame(wire.DATA, flags, 1, body)
    if case.trailers is not None:
        out += wire.head(1, case.numbered(case.trailers, number), end=case.trailers_end)
    return out


async def _answered(reader: asyncio.StreamReader) -> bool:
    receiver = wire.Receiver()
    try:
        while True:
            receiver.take(await wire.read_frame(reader))
            stream = receiver.streams.get(1)
            if receiver.goaway is not None or (
                stream and (stream.ended or stream.reset is not None)
            ):
                return True
    except asyncio.IncompleteReadError:
        return True


# === HTTP/1 to HTTP/2 ===

_NUMBER = re.compile(rb"/case/(\d+)")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_CONNECTION = {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade",
               b"host", b"http2-settings", b"content_length", b"transfer_encoding"}  # fmt: skip
_PSEUDO = [b":authority", b":method", b":path", b":scheme"]


class H2Origin:
    """Answers every stream, and keeps it by the number of its case."""

    def __init__(self) -> None:
        self.port = 0
        self.captured: dict[int, list[wire.Stream]] = defaultdict(list)
        self.unknown: list[wire.Stream] = []

    @asynccontextmanager
    async def running(self):
        """Serves inside the block."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        receiver, answered = wire.Receiver(), set()
        try:
            await reader.readexactly(len(wire.PREFACE))
            # Windows are wide open, and stay so.
            settings = wire.frame(wire.SETTINGS, payload=b"\0\x04\x7f\xff\xff\xff")
            writer.write(settings + wire.frame(wire.WINDOW, payload=b"\x7f\xf0\0\0"))
            while True:
                came = await wire.read_frame(reader)
                receiver.take(came)
                if came.kind == wire.SETTINGS and not came.flags & wire.ACK:
                    writer.write(wire.frame(wire.SETTINGS, wire.ACK))
                stream = receiver.streams.get(came.stream)
                if stream and stream.ended and came.stream not in answered:
                    answered.add(came.stream)
                    writer.write(wire.head(came.stream, [(b":status", b"200")], end=True))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            for stream in receiver.streams.values():
                self._keep(stream)

    def _keep(self, stream: wire.Stream) -> None:
        fields = dict(stream.fields)
        found = _NUMBER.search(fields.get(b":path", b"") + b" /case/" + fields.get(b"x-case", b""))
        if found:
            self.captured[int(found[1])].append(stream)
        else:
            self.unknown.append(stream)


def up(cases: Sequence[Case], legal: Sequence[Case]) -> Outcome:
    """Sends requests by HTTP/1 to an origin of HTTP/2. Both name port 81 for it."""
    bad = [_to_h2(case) for case in cases if not case.data.startswith(b"CONNECT")]
    good = [_to_h2(case) for case in legal if not _NARROWER.search(case.data)]
    return asyncio.run(_up(bad, good))


# An upgrade goes by HTTP/1 alone, and these bytes are none of a URI (RFC 3986 section 2).
_NARROWER = re.compile(rb"Upgrade|/case/<N>\?[\"<]")


def _to_h2(case: Case) -> Case:
    data = re.sub(rb"(?i)origin\.test(:80(?![0-9]))?", b"origin.test:81", case.data)
    return Case(case.name, data, case.must_refuse, case.requests)


async def _up(cases: Sequence[Case], legal: Sequence[Case]) -> Outcome:
    every = [*cases, *legal]
    outcome = Outcome("HTTP/1 to HTTP/2", cases=len(every))
    async with H2Origin().running() as origin:
        with (
            tempfile.TemporaryDirectory(prefix="meshcore-h2-") as directory,
            rig.meshcore(Path(directory), 9, origin.port) as proxy,
        ):
            told = await attack(proxy.port, every)
            outcome.is_alive = proxy.is_alive()
        await asyncio.sleep(0.3)
    for number, case in enumerate(every, 1):
        streams = origin.captured.get(number, [])
        _note_up(outcome, case, streams, is_legal=number > len(cases))
        if case.must_refuse and not told[number].is_refused:
            outcome.accepted.append(f"{case.name}: {told[number].statuses}")
    outcome.ambiguous += [f"no case: {stream}" for stream in origin.unknown]
    return outcome


def _note_up(
    outcome: Outcome, case: Case, streams: Sequence[wire.Stream], *, is_legal: bool
) -> None:
    whole = [stream for stream in streams if stream.ended and stream.reset is None]
    why = [reason for stream in whole for reason in wrong(stream)]
    outcome.refused += not whole
    outcome.forwarded += bool(whole)
    if why or len(whole) > case.requests:
        outcome.ambiguous.append(f"{case.name}: {why} {len(whole)} of {case.requests}")
    if is_legal and len(whole) != case.requests:
        outcome.lost.append(f"{case.name}: {len(whole)} of {case.requests}")


def wrong(stream: wire.Stream) -> Iterator[str]:
    """Says what RFC 9113 sections 8.2 and 8.3 forbid in a request."""
    names = [name for name, _ in stream.fields]
    pseudo = [name for name in names if name.startswith(b":")]
    if sorted(pseudo) != _PSEUDO:
        yield f"pseudo-fields {pseudo}"
    if names[: len(pseudo)] != pseudo:
        yield "pseudo-field after a field"
    trailers = stream.trailers or []
    if any(name.startswith(b":") for name, _ in trailers):
        yield "pseudo-field in trailers"
    for name, value in [*stream.fields, *trailers]:
        yield from _wrong_field(name, value)
    lengths = [value for name, value in stream.fields if name == b"content-length"]
    if lengths and lengths != [b"%d" % len(stream.body)]:
        yield f"lengths {lengths} of {len(stream.body)}"
    if b"/hidden/" in dict(stream.fields).get(b":path", b""):
        yield "a hidden request arrived"


def _wrong_field(name: bytes, value: bytes) -> Iterator[str]:
    if not name.startswith(b":") and not _NAME.fullmatch(name):
        yield f"name {name!r}"
    if name in _CONNECTION:
        yield f"field of a connection {name!r}"
    if re.search(rb"[\x00-\x08\x0a-\x1f\x7f]|^[ \t]|[ \t]$", value):
        yield f"value {value!r}"


def full() -> list[Outcome]:
    """Runs everything."""
    from tests.reliability import h1_cases, h1_legal_cases, h2_cases  # noqa: PLC0415

    return [
        down(h2_cases.malformed(), h2_cases.harmless(), h2_cases.legal()),
        up(h1_cases.malformed(), h1_legal_cases.legal()),
    ]
