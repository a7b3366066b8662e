"""Answers of an origin that means harm, or is broken."""

from dataclasses import dataclass
from enum import Enum, auto

LEAK = b"LEAKED"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n" + LEAK


class Fate(Enum):
    """What must become of an answer."""

    REFUSED = auto()
    """The client sees 502, 503, 504 or a connection that was cut."""
    TAKEN = auto()
    """It is right, or harmless once its excess is thrown away: the client may see its head."""


@dataclass(frozen=True)
class Answer:
    """What the origin says to one request."""

    name: str
    data: bytes
    fate: Fate = Fate.REFUSED
    method: bytes = b"GET"
    fields: bytes = b""
    closes: bool = False
    """The origin closes after it."""


def _head(fields: bytes, status: bytes = b"200 OK", version: bytes = b"HTTP/1.1") -> bytes:
    return version + b" " + status + b"\r\n" + fields + b"\r\n"


# fmt: off


def answers() -> list[Answer]:
    """Returns all of them."""
    return [*_framing(), *_chunks(), *_lines(), *_informational(), *_bodiless(), *_splitting(), *_ends()]


def _framing() -> list[Answer]:
    made = [
        Answer(f"length {value!r}", _head(b"Content-Length: " + value + b"\r\n") + b"01234" + OK)
        for value in (b"", b"+5", b"-5", b"5,5", b"5, 6", b"0x5", b"5 5", b"abc", b"18446744073709551616", b"5\x0b", b"5.0", b"9223372036854775808")
    ]
    made += [
        Answer(f"encoding {value!r}", _head(b"Transfer-Encoding: " + value + b"\r\n") + b"1\r\nx\r\n0\r\n\r\n" + OK)
        for value in (b"identity", b"chunked, identity", b"gzip, chunked", b"xchunked", b"chunked,", b"chunked, chunked", b"\x0bchunked", b"", b"chunked\r\n x")
    ]
    made += [
        Answer("two lengths", _head(b"Content-Length: 5\r\nContent-Length: 6\r\n") + b"012345" + OK),
        Answer("one length twice", _head(b"Content-Length: 5\r\nContent-Length: 5\r\n") + b"01234" + OK),
        Answer("length and encoding", _head(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + b"0\r\n\r\n" + OK),
        Answer("encoding and length", _head(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n") + b"0\r\n\r\n" + OK),
        Answer("chunks of HTTP/1.0", _head(b"Transfer-Encoding: chunked\r\n", version=b"HTTP/1.0") + b"0\r\n\r\n" + OK),
        Answer("two encodings", _head(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n") + b"0\r\n\r\n" + OK),
        Answer("space before the colon of the length", _head(b"Content-Length : 5\r\n") + b"01234" + OK),
        Answer("folded length", _head(b"Content-Length:\r\n 5\r\n") + b"01234" + OK),
    ]
    return made


def _chunks() -> list[Answer]:
    head = _head(b"Transfer-Encoding: chunked\r\n")
    return [
        Answer(f"chunk {body[:24]!r}", head + body + OK)
        for body in (b"g\r\nx\r\n0\r\n\r\n", b"-1\r\nx\r\n0\r\n\r\n", b"+1\r\nx\r\n0\r\n\r\n", b"0x1\r\nx\r\n0\r\n\r\n", b"1\nx\n0\n\n", b"1\r\nxy\r\n0\r\n\r\n",
                     b"fffffffffffffffff\r\nx", b"ffffffffffffffff\r\nx\r\n0\r\n\r\n", b"\r\nx\r\n0\r\n\r\n", b"1 1\r\nx\r\n0\r\n\r\n", b"1;a\nb\r\nx\r\n0\r\n\r\n",
                     b"1\r\nx\r\n0\r\nX y\r\n\r\n", b"1\r\nx\r\n0\r\nX: a\nY: b\r\n\r\n", b"1;" + b"a" * 70_000 + b"\r\nx\r\n0\r\n\r\n", b"1\r\nx\r\n0\r\n" + b"X: y\r\n" * 5000 + b"\r\n")
    ]


def _lines() -> list[Answer]:
    body = b"Content-Length: 5\r\n\r\n01234"
    made = [
        Answer(f"status line {line[:24]!r}", line + b"\r\n" + body)
        for line in (b"HTTP/1.1", b"HTTP/1.1 ", b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK", b"HTTP/1.1 abc OK", b"HTTP/1.1 099 OK", b"HTTP/1.1 -20 OK", b"HTTP/2.0 200 OK",
                     b"HTTP/1.1  200 OK", b"http/1.1 200 OK", b"ICY 200 OK", b"200 OK", b"\x00HTTP/1.1 200 OK", b"HTTP/1.1 200 \x00", b"HTTP/1.1 200 O\rK", b"HTTP/9.9 200 OK",
                     b"HTTP/1.1\t200 OK", b"SSH-2.0-OpenSSH_9", b"<html>", b"220 ready")
    ]
    made += [
        Answer(f"field {line[:24]!r}", _head(line + b"\r\nContent-Length: 5\r\n") + b"01234")
        for line in (b"X : a", b" X: a", b"X: a\r\n b", b": a", b"X", b"X: \x00", b"X: a\nY: b", b"X: a\rY: b", b"X\x00: a", b"X(: a", b"X: \x01", b"X: " + b"a" * 300_000)
    ]
    made += [
        Answer("ten thousand fields", _head(b"X: y\r\n" * 10_000 + b"Content-Length: 5\r\n") + b"01234"),
        Answer("bare LF", b"HTTP/1.1 200 OK\nContent-Length: 5\n\n01234"),
        Answer("TLS", b"\x16\x03\x03\x00\x05hello"),
        Answer("HTTP/2", b"\0\0\0\x04\0\0\0\0\0"),
        Answer("a megabyte of nothing", b"\0" * 1_000_000),
        Answer("a request", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        Answer("an empty line first", b"\r\n" + OK),
    ]
    return made


def _informational() -> list[Answer]:
    ok = _head(b"Content-Length: 5\r\n") + b"01234"
    upgrade = b"Connection: upgrade\r\nUpgrade: websocket\r\n"
    return [
        Answer("100 first", _head(b"", b"100 Continue") + ok, Fate.TAKEN),
        Answer("103 first", _head(b"Link: </a>\r\n", b"103 Early Hints") + ok, Fate.TAKEN),
        Answer("five of 1xx", _head(b"", b"102 Processing") * 5 + ok, Fate.TAKEN),
        Answer("ten thousand of 1xx", _head(b"", b"102 Processing") * 10_000 + ok),
        Answer("1xx that never ends", _head(b"X: " + b"a" * 500 + b"\r\n", b"100 Continue") * 20_000),
        Answer("1xx with a length", _head(b"Content-Length: 5\r\n", b"103 Early Hints") + b"01234" + OK),
        Answer("101 that nobody asked for", _head(upgrade, b"101 Switching Protocols") + LEAK),
        Answer("101 without an upgrade", _head(b"", b"101 Switching Protocols") + LEAK),
        Answer("101 after 100", _head(b"", b"100 Continue") + _head(upgrade, b"101 Switching Protocols") + LEAK),
        Answer("101 to another protocol", _head(b"Connection: upgrade\r\nUpgrade: h2c\r\n", b"101 Switching Protocols") + LEAK, fields=upgrade),
        Answer("200 to an upgrade, with a tail", _head(b"Content-Length: 5\r\n" + upgrade) + b"01234" + OK, Fate.TAKEN, fields=upgrade),
        Answer("199 alone", _head(b"", b"199 X"), closes=True),
    ]


def _bodiless() -> list[Answer]:
    return [
        Answer("204 with a body", _head(b"Content-Length: 6\r\n", b"204 No Content") + LEAK + OK, Fate.TAKEN),
        Answer("204 with chunks", _head(b"Transfer-Encoding: chunked\r\n", b"204 No Content") + b"6\r\nLEAKED\r\n0\r\n\r\n" + OK, Fate.TAKEN),
        Answer("204 and another answer", _head(b"", b"204 No Content") + OK, Fate.TAKEN),
        Answer("304 with a body", _head(b"Content-Length: 6\r\n", b"304 Not Modified") + LEAK + OK, Fate.TAKEN),
        Answer("304 with chunks", _head(b"Transfer-Encoding: chunked\r\n", b"304 Not Modified") + b"6\r\nLEAKED\r\n0\r\n\r\n", Fate.TAKEN),
        Answer("HEAD with a body", _head(b"Content-Length: 6\r\n") + LEAK + OK, Fate.TAKEN, b"HEAD"),
        Answer("HEAD with chunks", _head(b"Transfer-Encoding: chunked\r\n") + b"6\r\nLEAKED\r\n0\r\n\r\n", Fate.TAKEN, b"HEAD"),
        Answer("HEAD and another answer", _head(b"") + OK, Fate.TAKEN, b"HEAD"),
        Answer("205 with a body", _head(b"Content-Length: 5\r\n", b"205 Reset Content") + b"01234" + OK, Fate.TAKEN),
    ]


def _splitting() -> list[Answer]:
    late = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Late: 1\r\n\r\n" + LEAK
    return [
        Answer("two answers", _head(b"Content-Length: 5\r\n") + b"01234" + late, Fate.TAKEN),
        Answer("a hundred answers", _head(b"Content-Length: 5\r\n") + b"01234" + late * 100, Fate.TAKEN),
        Answer("length 0 and a body", _head(b"Content-Length: 0\r\n") + LEAK, Fate.TAKEN),
        Answer("chunks and another answer", _head(b"Transfer-Encoding: chunked\r\n") + b"1\r\nx\r\n0\r\n\r\n" + late, Fate.TAKEN),
        Answer("a body and a byte", _head(b"Content-Length: 5\r\n") + b"01234\n", Fate.TAKEN),
        Answer("close and another answer", _head(b"Content-Length: 5\r\nConnection: close\r\n") + b"01234" + late, Fate.TAKEN),
        Answer("an answer of HTTP/1.0 and another", _head(b"Content-Length: 5\r\n", version=b"HTTP/1.0") + b"01234" + late, Fate.TAKEN),
    ]


def _ends() -> list[Answer]:
    return [
        Answer("nothing, then the end", b"", closes=True),
        Answer("half a status line", b"HTTP/1.1 2", closes=True),
        Answer("half a head", b"HTTP/1.1 200 OK\r\nContent-Le", closes=True),
        Answer("half a body", _head(b"Content-Length: 50\r\n") + b"01234", closes=True),
        Answer("no body", _head(b"Content-Length: 50\r\n"), closes=True),
        Answer("half a chunk", _head(b"Transfer-Encoding: chunked\r\n") + b"50\r\n01234", closes=True),
        Answer("no last chunk", _head(b"Transfer-Encoding: chunked\r\n") + b"5\r\n01234\r\n", closes=True),
        Answer("half the end of chunks", _head(b"Transfer-Encoding: chunked\r\n") + b"5\r\n01234\r\n0\r\n", closes=True),
        Answer("a body until the end", _head(b"") + b"01234", Fate.TAKEN, closes=True),
        Answer("a body until the end, HTTP/1.0", _head(b"", version=b"HTTP/1.0") + b"01234", Fate.TAKEN, closes=True),
    ]
