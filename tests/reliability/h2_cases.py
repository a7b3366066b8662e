"""HTTP/2 requests that are malformed, or would be once they are written as HTTP/1.

`<N>` stands for the number of the case, as in the corpus of HTTP/1.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

Field = tuple[bytes, bytes]

PSEUDO: tuple[Field, ...] = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":authority", b"origin.test"),
    (b":path", b"/case/<N>"),
)
NUMBER: Field = (b"x-case", b"<N>")
SMUGGLED = b"a\r\n\r\nGET /hidden/<N> HTTP/1.1\r\nHost: origin.test\r\nX-Case: <N>\r\n\r\n"
INJECTED = b"a\r\nx-injected: 1"


@dataclass(frozen=True)
class H2Case:
    """What a client sends on one stream."""

    name: str
    fields: tuple[Field, ...]
    body: bytes | None = None
    """`None`: the stream ends with its head."""
    trailers: tuple[Field, ...] | None = None
    trailers_end: bool = True
    is_legal: bool = False

    def numbered(self, fields: Iterable[Field], number: int) -> list[Field]:
        """Returns fields with the number of the case."""
        digits = str(number).encode()
        return [(name.replace(b"<N>", digits), v.replace(b"<N>", digits)) for name, v in fields]


def _with(*more: Field, pseudo: Sequence[Field] = PSEUDO) -> tuple[Field, ...]:
    return (*pseudo, NUMBER, *more)


def _pseudo(**changed: bytes) -> tuple[Field, ...]:
    named = {f":{name}".encode(): value for name, value in changed.items()}
    return tuple((name, named.get(name, value)) for name, value in PSEUDO)


# fmt: off


def malformed() -> list[H2Case]:
    """Returns all cases that must be refused."""
    return [*_bytes(), *_injections(), *_connection(), *_lengths(), *_pseudos(), *_authorities(), *_trailers(), *_aliases()]


def _bytes() -> Iterator[H2Case]:
    controls = (*range(0x20), 0x7F)
    for byte in controls:
        odd, text = bytes([byte]), f"0x{byte:02x}"
        for name in (b"x-a", b"cookie", b"user-agent"):
            if byte != 0x09:
                yield H2Case(f"A6 {text} in {name!r}", _with((name, b"a" + odd + b"b")))
        yield H2Case(f"A6 {text} in the path", _with(pseudo=_pseudo(path=b"/case/<N>/" + odd)))
        yield H2Case(f"A6 {text} in the authority", _with(pseudo=_pseudo(authority=b"origin" + odd + b".test")))
        yield H2Case(f"A6 {text} in the method", _with(pseudo=_pseudo(method=b"PO" + odd + b"ST")))
        yield H2Case(f"A6 {text} in the scheme", _with(pseudo=_pseudo(scheme=b"ht" + odd + b"tp")))
    for byte in (*range(0x21), *range(0x7F, 0x100), *b'"(),/:;<=>?@[\\]{}', *range(0x41, 0x5B)):
        yield H2Case(f"A6 0x{byte:02x} in a name", _with((b"x" + bytes([byte]) + b"a", b"b")))
    for value in (b" a", b"a ", b"\ta", b"a\t", b" "):
        yield H2Case(f"A6 blanks around {value!r}", _with((b"x-a", value)))
    yield H2Case("A6 empty name", _with((b"", b"a")))


def _injections() -> Iterator[H2Case]:
    for payload in (INJECTED, SMUGGLED, b"\nx-injected: 1", b"a\rx-injected: 1", b"a\0\r\nx-injected: 1"):
        for name in (b"x-a", b"cookie", b"content-type", b"referer", b"te", b"content-length", b"host", b"expect"):
            yield H2Case(f"A6 {payload[:9]!r} in {name!r}", _with((name, payload)))
        for pseudo in ("method", "scheme", "authority", "path"):
            start = {"method": b"GET ", "scheme": b"http", "authority": b"origin.test", "path": b"/case/<N>"}[pseudo]
            yield H2Case(f"A6 {payload[:9]!r} in :{pseudo}", _with(pseudo=_pseudo(**{pseudo: start + payload})))
        yield H2Case(f"A6 {payload[:9]!r} in a name", _with((b"x-a" + payload, b"b")))
    for name in (b"x: y\r\nx-injected", b"x:", b"x-injected: 1\r\nx", b"transfer-encoding: chunked\r\nx", b"x y"):
        yield H2Case(f"A6 name {name!r}", _with((name, b"1")))
    for path in (b"/case/<N> HTTP/1.1\r\nHost: x\r\n\r\nGET /hidden/<N>", b"/case/<N> HTTP/1.1", b"/case/<N> x", b"/case/<N>\t"):
        yield H2Case(f"A6 path {path!r}", _with(pseudo=_pseudo(path=path)))
    for method in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\nPOST", b"GET /hidden/<N> HTTP/1.1\r\n", b"GET ", b"", b"G@T", b"GET:", b"(GET)"):
        yield H2Case(f"A6 method {method!r}", _with(pseudo=_pseudo(method=method)))


def _connection() -> Iterator[H2Case]:
    for name, value in ((b"connection", b"close"), (b"connection", b"keep-alive"), (b"connection", b"x-a"), (b"connection", b"te"), (b"connection", b""),
                        (b"keep-alive", b"1"), (b"proxy-connection", b"close"), (b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"identity"),
                        (b"transfer-encoding", b""), (b"transfer-encoding", b"gzip, chunked"), (b"upgrade", b"websocket"), (b"upgrade", b"h2c"),
                        (b"http2-settings", b"AAMAAABk"), (b"te", b"gzip"), (b"te", b"chunked"), (b"te", b"trailers, chunked"), (b"te", b"")):
        for body in (None, b"", b"5\r\n01234\r\n0\r\n\r\n", SMUGGLED):
            yield H2Case(f"A6 {name!r}: {value!r} {body and body[:5]!r}", _with((name, value)), body)


def _lengths() -> Iterator[H2Case]:
    for value in (b"", b"+5", b"-5", b"5,5", b"5, 5", b"0x5", b"5 5", b"five", b"18446744073709551616", b"9223372036854775808", b"5.0", b"\xd9\xa5", b"5;"):
        yield H2Case(f"A6 length {value!r}", _with((b"content-length", value)), b"01234")
    for first, second in itertools.product((b"5", b"0", b"6"), repeat=2):
        yield H2Case(f"A6 lengths {first!r} {second!r}", _with((b"content-length", first), (b"content-length", second)), b"01234")
    for length, body in ((b"4", b"01234"), (b"6", b"01234"), (b"0", b"01234"), (b"5", b""), (b"5", None), (b"1", None), (b"1000", b"01234"), (b"0", SMUGGLED), (b"3", SMUGGLED)):
        yield H2Case(f"A6 length {length!r} of {body and len(body)}", _with((b"content-length", length)), body)


def _pseudos() -> Iterator[H2Case]:
    for name, value in PSEUDO:
        yield H2Case(f"A6 {name!r} twice", (*PSEUDO, (name, value), NUMBER))
        yield H2Case(f"A6 {name!r} twice, second differs", (*PSEUDO, (name, b"/hidden/<N>"), NUMBER))
        yield H2Case(f"A6 {name!r} last", (*[p for p in PSEUDO if p[0] != name], NUMBER, (name, value)))
        yield H2Case(f"A6 {name!r} in capitals", (*[p for p in PSEUDO if p[0] != name], (name.upper(), value), NUMBER))
        if name != b":authority":
            yield H2Case(f"A6 without {name!r}", (*[p for p in PSEUDO if p[0] != name], NUMBER))
            yield H2Case(f"A6 {name!r} is empty", _with(pseudo=_pseudo(**{name[1:].decode(): b""})))
    for name in (b":status", b":foo", b":", b":protocol", b":host", b":method ", b"::path", b":x-case"):
        yield H2Case(f"A6 pseudo {name!r}", (*PSEUDO, (name, b"200"), NUMBER))
    for scheme in (b"ftp", b"file", b"javascript", b"http://origin.test/hidden?", b"HTTPX", b"ws", b"http:", b"//"):
        yield H2Case(f"A7 scheme {scheme!r}", _with(pseudo=_pseudo(scheme=scheme)))
    for path in (b"case/<N>", b"*", b"http://origin.test/case/<N>", b"?case/<N>", b"\\case\\<N>", b"", b" /case/<N>", b"@origin.test/"):
        yield H2Case(f"A7 path {path!r}", _with(pseudo=_pseudo(path=path)))


def _authorities() -> Iterator[H2Case]:
    for value in (b"origin.test:80:80", b"origin.test:", b"origin.test:x", b"origin.test:65536", b"user@origin.test", b"origin.test@evil.test", b"origin.test,evil.test",
                  b"origin.test evil.test", b"origin.test/evil", b"origin.test?x", b"origin.test#x", b"origin.test\\x", b"http://origin.test", b"[origin.test]", b"[::1",
                  b"::1", b":80", b"", b"orig%69n.test", b"origin.test%00", b"*", b"origin.test;x", b'"origin.test"', b"o\xffrigin.test"):
        yield H2Case(f"A7 authority {value!r}", _with(pseudo=_pseudo(authority=value)))
        bare = tuple(p for p in PSEUDO if p[0] != b":authority")
        yield H2Case(f"A7 host {value!r}", _with((b"host", value), pseudo=bare))
    for value in (b"evil.test", b"origin.test:81", b"origin.test:443", b"origin.test.", b"", b"origin.test, evil.test", b"user@origin.test"):
        yield H2Case(f"A7 authority and host {value!r}", _with((b"host", value)))
    yield H2Case("A7 two hosts", _with((b"host", b"origin.test"), (b"host", b"origin.test")))
    yield H2Case("A7 two hosts that differ", _with((b"host", b"origin.test"), (b"host", b"evil.test")))


def _trailers() -> Iterator[H2Case]:
    for name, value in ((b"X-T", b"a"), (b"x t", b"a"), (b"", b"a"),
                        (b"x:t", b"a"), (b"x-t", INJECTED), (b"x-t", SMUGGLED), (b"x-t", b"a\nb"), (b"x-t", b"a\0b"), (b"x-t\r\nx-injected", b"1"), (b"connection", b"close"),
                        (b"transfer-encoding", b"chunked"), (b"upgrade", b"x"), (b"keep-alive", b"1"), (b"proxy-connection", b"x")):
        yield H2Case(f"A10 trailer {name!r}: {value[:12]!r}", _with(), b"01234", ((name, value),))
    yield H2Case("A10 trailers without an end", _with(), b"01234", ((b"x-t", b"a"),), trailers_end=False)


def _aliases() -> Iterator[H2Case]:
    for name in (b"content_length", b"transfer_encoding", b"x_forwarded_for", b"x-forwarded_for", b"proxy_authorization"):
        yield H2Case(f"A9 {name!r}", _with((name, b"1")), b"01234")


def harmless() -> list[H2Case]:
    """Requests that may arrive, if what is dangerous in them was left out."""
    cases = [
        H2Case(f"A10 trailer {name!r}", _with(), b"01234", ((name, b"5"),))
        for name in (b"content-length", b"host", b"authorization", b"x-forwarded-for", b"cookie", b"te", b"trailer", b"expect", b"content-type", b"range", b"set-cookie", b"max-forwards")
    ]
    # The h2 crate leaves these out before we see them; RFC 9113 section 8.1 would refuse them.
    cases += [H2Case(f"A10 trailer {name!r}", _with(), b"01234", ((name, value),)) for name, value in ((b":path", b"/hidden/<N>"), (b":method", b"GET"), (b":authority", b"evil.test"), (b":status", b"200"))]
    cases += [H2Case(f"A6 {name!r}", _with((name, b"x"))) for name in (b"x-forwarded-for", b"x-envoy-internal", b"x-request-id", b"forwarded", b"via")]
    cases += [H2Case(f"A6 0x{byte:02x} in a value", _with((b"x-a", b"a" + bytes([byte]) + b"b"))) for byte in (0x09, *range(0x80, 0x100))]
    cases += [H2Case("A6 2,000 crumbs", _with(*[(b"cookie", b"a=b")] * 2000)), H2Case("A6 CONNECT", ((b":method", b"CONNECT"), (b":authority", b"origin.test:80"), NUMBER), b"GET /case/<N>")]
    cases += [H2Case(f"A7 path {path!r}", _with(pseudo=_pseudo(path=path))) for path in (b"//case/<N>", b"#", b"/case/<N>?a b", b"/case/<N>#f", b"/../case/<N>", b"/case/<N>/%0d%0a", b"/case/<N>/%00")]
    return cases


def legal() -> list[H2Case]:
    """Requests that must arrive."""
    cases = [H2Case(f"method {m!r}", _with(pseudo=_pseudo(method=m)), is_legal=True) for m in (b"GET", b"HEAD", b"PUT", b"DELETE", b"PATCH", b"PROPFIND", b"X", b"!#$")]
    cases += [H2Case(f"body {n}", _with(), b"b" * n, is_legal=True) for n in (0, 1, 100, 5000, 16384)]
    cases += [H2Case(f"body {n} with its length", _with((b"content-length", b"%d" % n)), b"b" * n, is_legal=True) for n in (0, 1, 100, 5000, 16384)]
    cases += [H2Case(f"authority {a!r}", _with(pseudo=_pseudo(authority=a)), is_legal=True) for a in (b"origin.test", b"ORIGIN.TEST", b"origin.test:80")]
    cases += [H2Case(f"host {h!r}", _with((b"host", h)), is_legal=True) for h in (b"origin.test", b"Origin.Test", b"origin.test:80")]
    cases += [H2Case(f"path {p!r}", _with(pseudo=_pseudo(path=b"/case/<N>" + p)), is_legal=True) for p in (b"?a=b", b"?", b"/%C3%BC", b"/a;b", b"?" + b"q" * 3000, b"/a:b", b"?a/b?c")]
    cases += [H2Case(f"value {v[:9]!r}", _with((b"x-a", v)), is_legal=True) for v in (b"", b"a", b"a b", b"a\tb", b"\xc3\xbc", b":", b'"', b"a" * 3000)]
    cases += [H2Case(f"trailers {n}", _with(), b"01234", ((b"x-t", b"a"),) * n, is_legal=True) for n in (1, 2)]
    cases += [H2Case("cookies", _with((b"cookie", b"a=b"), (b"cookie", b"c=d")), is_legal=True), H2Case("te", _with((b"te", b"trailers")), is_legal=True)]
    return cases
