"""Inputs that targets begin with, besides those that are kept: what other tests send."""

import json
import ssl
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from tests.reliability import h1_cases, h1_legal_cases, h2_cases, hostile_cases, path_cases
from tests.reliability.h2_wire import DATA, END_HEADERS, END_STREAM, HEADERS, block, frame

from meshcore.config import Source, compile_mesh

KEPT = Path(__file__).resolve().parent / "corpus"
# Longer cases are about limits, which a fuzzer does not reach.
_LONGEST = 1024
# Of the spellings of a path there are thousands, and most differ in one letter.
_EVERY_PATH = 20

_PSEUDO = (b"method", b"scheme", b"authority", b"path")

Seed = tuple[str, bytes]


def of(target: str) -> list[Seed]:
    """Returns the seeds of a target by name; some have none."""
    made = _MAKERS.get(target, lambda: ())()
    return [(f"{target}-{number}", data) for number, data in enumerate(made)]


def _requests() -> Iterator[bytes]:
    cases = [*h1_cases.malformed(), *h1_legal_cases.legal()]
    yield from (case.numbered(1) for case in cases if len(case.data) <= _LONGEST)


def _responses() -> Iterator[bytes]:
    yield from (answer.data for answer in hostile_cases.answers() if len(answer.data) <= _LONGEST)


def _chunks() -> Iterator[bytes]:
    for data in _requests():
        head, _, body = data.partition(b"\r\n\r\n")
        if b"chunked" in head.lower():
            yield body


def _h2_heads() -> Iterator[bytes]:
    for case in _h2_cases():
        fields = dict(case.fields)
        pseudo = [fields.get(b":" + name, b"") for name in _PSEUDO]
        rest = [name + b": " + value for name, value in case.fields if not name.startswith(b":")]
        yield b"\n".join([*pseudo, *rest])
    yield from (b"200\ncontent-length: 5\nset-cookie: a", b"304\netag: x", b"103\nlink: a")


def _h2_cases() -> list[h2_cases.H2Case]:
    return [*h2_cases.malformed(), *h2_cases.legal()]


def _paths() -> Iterator[bytes]:
    yield from (path.encode() for path in path_cases.spellings()[::_EVERY_PATH])


def _hellos() -> Iterator[bytes]:
    for name in ("web.ns", "outbound_.80_.v1_.web.ns.svc.cluster.local", None):
        for alpn in ([], ["h2", "http/1.1"], ["istio-peer-exchange", "istio"]):
            yield client_hello(name, alpn)


def client_hello(name: str | None, alpn: list[str]) -> bytes:
    """Returns the first flight of an OpenSSL client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(alpn)
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def _meshes() -> Iterator[bytes]:
    for path in sorted([*(KEPT / "documents").iterdir(), *(KEPT / "short_form").iterdir()]):
        mesh = compile_mesh([Source(path.name, path.read_bytes())], 1).mesh
        if mesh is not None:
            yield json.dumps(mesh).encode()


def _wire() -> Iterator[bytes]:
    requests = [data.replace(b"origin.test", b"origin") for data in _requests()]
    yield from (way + data for way in (b"i", b"o") for data in requests[::10])
    yield from (b"i" + hello for hello in _hellos())
    for path in (b"/stats", b"/metrics", b"/config_dump", b"/healthz/ready", b"/"):
        yield b"aGET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path
    for case in _h2_cases()[::8]:
        fields = block([(n, v.replace(b"origin.test", b"origin")) for n, v in case.fields])
        sent = [(HEADERS, END_HEADERS | (END_STREAM if case.body is None else 0), fields)]
        if case.body is not None:
            sent.append((DATA, END_STREAM, case.body))
        raw = b"".join(frame(kind, flags, 1, payload) for kind, flags, payload in sent)
        yield from (way + raw for way in (b"h", b"j"))
        if all(len(payload) < 1 << 8 for _, _, payload in sent):
            short = b"".join(bytes([kind, flags, 1, len(p)]) + p for kind, flags, p in sent)
            yield from (way + short for way in (b"f", b"g"))


def _names() -> Iterable[bytes]:
    return (
        b"outbound_.80_.v1_.a.ns.svc.cluster.local",
        b"spiffe://cluster.local/ns/a/sa/b",
        b"reviews.default.svc.cluster.local:9080",
        b"[::1]:80",
        b"127.0.0.1",
        b"a.:65535",
    )


def _records() -> Iterable[bytes]:
    return (b'%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)% "%REQ(:METHOD)%"\na"b\\c\x00\xff\xe2\x80\xa8',
            b"%REQ(X?:PATH):7% %RESP(A)% %TRAILER(B)% %DURATION%\n/a\r\nb",
            b"%REQ_WITHOUT_QUERY(:PATH)% 100%% %RESPONSE_FLAGS%\n\xc3\xa9")  # fmt: skip


_MAKERS = {
    "request": _requests,
    "response": _responses,
    "chunks": _chunks,
    "conversation": _requests,
    "h2_head": _h2_heads,
    "path": _paths,
    "hello": _hellos,
    "names": _names,
    "mesh": _meshes,
    "record": _records,
    "wire": _wire,
}
