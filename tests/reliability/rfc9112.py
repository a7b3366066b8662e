"""A strict reader of HTTP/1 requests, which judges what a proxy has sent to an origin.

It takes only what every origin must understand alike. It shares no code with the product.
"""

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# Source: RFC 9112 section 3.2; RFC 3986 section 2, without the fragment.
_TARGET = re.compile(rb"[!$-;=?-Z_a-z~\x5c\[\]|^`{}\"<>]+")
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~\-]+)(:[0-9]{1,5})?")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})((?:;[\x20-\x7e\t]*)?)")
# Many readers count in 64 bits, with a sign.
_GREATEST_LENGTH = 2**63 - 1
# Names that servers behind CGI or WSGI read as if they had a hyphen.
_ALIASES = (b"content_length", b"transfer_encoding")
_FRAMING = (b"content-length", b"transfer-encoding")
_NEVER_TRAILERS = (*_FRAMING, b"host", b"authorization", b"connection", b"te", b"trailer",
                   b"x-forwarded-for", b"cookie", b"upgrade", b"expect")  # fmt: skip


class AmbiguousError(Exception):
    """Two origins may read this differently."""


class _MoreError(Exception):
    """The message is not whole."""


@dataclass
class Message:
    """A request, as everybody reads it."""

    method: bytes
    target: bytes
    version: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)

    def all(self, name: bytes) -> list[bytes]:
        """Values of a field."""
        return [value for known, value in self.fields if known == name]


@dataclass
class Verdict:
    """What stands in the bytes of one connection."""

    messages: list[Message] = field(default_factory=list)
    ambiguous: str = ""
    """Why the framing is not the same for every reader."""
    unclean: list[str] = field(default_factory=list)
    """What is not framing, and still better not sent."""
    cut: bool = False
    """The last message stops before its end."""


def judge(captured: bytes) -> Verdict:
    """Reads everything that came on one connection."""
    verdict, rest = Verdict(), captured
    while rest:
        try:
            message, rest = read_one(rest)
        except _MoreError:
            verdict.cut = True
            break
        except AmbiguousError as error:
            verdict.ambiguous = str(error)
            break
        verdict.messages.append(message)
        verdict.unclean += _unclean(message)
        if message.method == b"CONNECT" or message.all(b"upgrade"):
            break  # what follows is another protocol's, if the origin agrees
    return verdict


def is_whole(captured: bytes) -> bool:
    """Whether an origin can answer: a whole request is there, or what nobody could read."""
    try:
        read_one(captured)
    except _MoreError:
        return False
    except AmbiguousError:
        return True
    return True


def read_one(data: bytes) -> tuple[Message, bytes]:
    """Returns the first message and what follows it.

    Raises:
        AmbiguousError: Readers may differ.
        _MoreError: More bytes are needed.
    """
    line, rest = _line(data)
    parts = line.split(b" ")
    if len(parts) != 3:
        raise AmbiguousError(f"request line {line!r}")
    method, target, version = parts
    if not _TOKEN.fullmatch(method):
        raise AmbiguousError(f"method {method!r}")
    if version not in {b"HTTP/1.1", b"HTTP/1.0"}:
        raise AmbiguousError(f"version {version!r}")
    if not target or any(byte < 0x21 or byte == 0x7F for byte in target):
        raise AmbiguousError(f"target {target!r}")
    fields, rest = _section(rest)
    message = Message(method, target, version, fields)
    return _with_body(message, rest)


def _with_body(message: Message, rest: bytes) -> tuple[Message, bytes]:
    _check_host(message)
    lengths, encodings = (message.all(name) for name in _FRAMING)
    if any(message.all(alias) for alias in _ALIASES):
        raise AmbiguousError("an alias of a framing field")
    if lengths and encodings:
        raise AmbiguousError("length and encoding")
    if encodings:
        if [coding.lower() for coding in encodings] != [
            b"chunked"
        ] or message.version == b"HTTP/1.0":
            raise AmbiguousError(f"encodings {encodings!r} of {message.version!r}")
        return _chunks(message, rest)
    length = _length(lengths)
    if len(rest) < length:
        raise _MoreError
    message.body = rest[:length]
    return message, rest[length:]


def _check_host(message: Message) -> None:
    hosts = message.all(b"host")
    if len(hosts) > 1 or (not hosts and message.version == b"HTTP/1.1"):
        raise AmbiguousError(f"{len(hosts)} hosts")


def _length(values: list[bytes]) -> int:
    if not values:
        return 0
    if len(values) > 1 or not re.fullmatch(rb"[0-9]+", values[0]):
        raise AmbiguousError(f"lengths {values!r}")
    if int(values[0]) > _GREATEST_LENGTH:
        raise AmbiguousError(f"length {values[0]!r} overflows")
    return int(values[0])


def _chunks(message: Message, rest: bytes) -> tuple[Message, bytes]:
    body = b""
    while True:
        line, rest = _line(rest)
        found = _CHUNK.fullmatch(line)
        if not found:
            raise AmbiguousError(f"chunk {line[:40]!r}")
        if found[2]:
            raise AmbiguousError(f"chunk extension {line[:40]!r} was passed on")
        size = int(found[1], 16)
        if size == 0:
            break
        if len(rest) < size + 2:
            raise _MoreError
        if rest[size : size + 2] != b"\r\n":
            raise AmbiguousError("chunk without end")
        body, rest = body + rest[:size], rest[size + 2 :]
    message.body = body
    message.trailers, rest = _section(rest)
    return message, rest


def _line(data: bytes) -> tuple[bytes, bytes]:
    end = data.find(b"\n")
    if end < 0:
        raise _MoreError
    line = data[:end]
    if not line.endswith(b"\r"):
        raise AmbiguousError(f"bare LF after {line[-40:]!r}")
    line = line[:-1]
    if b"\r" in line or b"\0" in line:
        raise AmbiguousError(f"CR or NUL in {line[:80]!r}")
    return line, data[end + 1 :]


def _section(data: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    fields = []
    while True:
        line, data = _line(data)
        if not line:
            return fields, data
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name):
            raise AmbiguousError(f"field line {line[:60]!r}")
        fields.append((name.lower(), value.strip(b" \t")))


def _unclean(message: Message) -> list[str]:
    """What a careful proxy does not send, though it does not change the framing."""
    found = [
        f"control byte in {name!r}"
        for name, value in message.fields
        if any((byte < 0x20 and byte != 0x09) or byte == 0x7F for byte in value)
    ]
    found += [f"trailer {name!r}" for name, _ in message.trailers if name in _NEVER_TRAILERS]
    hosts = message.all(b"host")
    if hosts and not _HOST.fullmatch(hosts[0]):
        found.append(f"host {hosts[0]!r}")
    if message.method != b"CONNECT" and not _TARGET.fullmatch(message.target):
        found.append(f"target {message.target!r}")
    return found
