"""HTTP/2 as raw frames: nothing is checked on the way out, everything is kept on the way in."""

import asyncio
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, _PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1

Fields = list[tuple[bytes, bytes]]


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """Returns a frame. Source: RFC 9113 section 4.1."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def block(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Encodes fields as literals that enter no table, byte by byte as they are.

    Source: RFC 7541 section 6.2.2.
    """
    return b"".join(b"\x00" + _string(name) + _string(value) for name, value in fields)


def _string(text: bytes) -> bytes:
    return integer(len(text), 7) + text


def integer(value: int, bits: int, first: int = 0) -> bytes:
    """Encodes a number. Source: RFC 7541 section 5.1."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    out = bytearray([first | most])
    value -= most
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def head(stream: int, fields: Iterable[tuple[bytes, bytes]], *, end: bool) -> bytes:
    """Returns HEADERS, and CONTINUATION where the block is long."""
    encoded = block(fields)
    first, rest = encoded[:16384], encoded[16384:]
    flags = (END_STREAM if end else 0) | (0 if rest else END_HEADERS)
    out = frame(HEADERS, flags, stream, first)
    while rest:
        piece, rest = rest[:16384], rest[16384:]
        out += frame(CONTINUATION, 0 if rest else END_HEADERS, stream, piece)
    return out


@dataclass
class Frame:
    """One that came."""

    kind: int
    flags: int
    stream: int
    payload: bytes


async def read_frame(reader: asyncio.StreamReader) -> Frame:
    """Reads one frame.

    Raises:
        asyncio.IncompleteReadError: The connection ended.
    """
    prefix = await reader.readexactly(9)
    length = int.from_bytes(prefix[:3], "big")
    kind, flags, stream = struct.unpack(">BBI", prefix[3:])
    return Frame(kind, flags, stream & 0x7FFFFFFF, await reader.readexactly(length))


@dataclass
class Stream:
    """What came on one."""

    fields: Fields = field(default_factory=list)
    body: bytes = b""
    trailers: Fields | None = None
    ended: bool = False
    reset: int | None = None

    def take(self, fields: Fields) -> None:
        """Takes a head, or trailers after it."""
        if self.fields and dict(self.fields).get(b":status", b"")[:1] != b"1":
            self.trailers = fields
        else:
            self.fields = fields


class Receiver:
    """Puts frames together to streams."""

    def __init__(self) -> None:
        self.streams: dict[int, Stream] = {}
        self.goaway: int | None = None
        self._decoder = hpack.Decoder(max_header_list_size=2**24)
        self._block = b""

    def take(self, came: Frame) -> None:
        """Takes a frame into account."""
        if came.kind == GOAWAY:
            self.goaway = int.from_bytes(came.payload[4:8], "big")
        if not came.stream:
            return
        stream = self.streams.setdefault(came.stream, Stream())
        if came.kind == DATA:
            stream.body += came.payload
        elif came.kind == RST_STREAM:
            stream.reset = int.from_bytes(came.payload, "big")
        elif came.kind in {HEADERS, CONTINUATION}:
            self._block += came.payload
            if came.flags & END_HEADERS:
                decoded = self._decoder.decode(self._block, raw=True)
                self._block = b""
                stream.take([(bytes(name), bytes(value)) for name, value in decoded])
        if came.kind in {DATA, HEADERS} and came.flags & END_STREAM:
            stream.ended = True
