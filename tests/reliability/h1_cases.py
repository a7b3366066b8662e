"""HTTP/1 requests that two readers may understand differently, and unusual ones that are right.

`<N>` in a case stands for its own number: captured bytes can so be told from those of others.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

HOST = b"Host: origin.test\r\n"
# What must never be a request of its own.
HIDDEN = b"GET /hidden/<N> HTTP/1.1\r\nHost: origin.test\r\nX-Case: <N>\r\n\r\n"

# What may be one.
SECOND = b"GET /case/<N>/second HTTP/1.1\r\nHost: origin.test\r\nX-Case: <N>\r\n\r\n"


@dataclass(frozen=True)
class Case:
    """What a client sends on one connection."""

    name: str
    data: bytes
    must_refuse: bool = False
    """No reading of it is right."""
    requests: int = 1
    """So many requests the client means at most."""

    def numbered(self, number: int) -> bytes:
        """Returns the bytes to send."""
        return self.data.replace(b"<N>", str(number).encode())


def request(  # noqa: PLR0913 - the parts of a request
    fields: bytes = b"",
    body: bytes = b"",
    *,
    method: bytes = b"POST",
    target: bytes = b"/case/<N>",
    version: bytes = b"HTTP/1.1",
    host: bytes = HOST,
) -> bytes:
    """Returns a request with its number."""
    line = method + b" " + target + b" " + version + b"\r\n"
    return line + host + b"X-Case: <N>\r\n" + fields + b"\r\n" + body


# fmt: off


def malformed() -> list[Case]:
    """Returns all cases that are malformed or ambiguous."""
    made = [*_framing(), *_encodings(), *_lengths(), *_chunks(), *_old(), *_bytes(), *_lines()]
    made += [*_authorities(), *_upgrades(), *_pipelines(), *_aliases(), *_hop_by_hop(), *_trailers()]
    return made


CHUNKED_BODY = b"1\r\nx\r\n0\r\n\r\n"


def _framing() -> Iterator[Case]:
    """A1: length and encoding together, in all orders, and twice."""
    lengths = [b"Content-Length: 0", b"Content-Length: 5", b"Content-Length: 11",
               b"content-length:11", b"Content-Length: 11\r\nContent-Length: 11",
               b"Content-Length: 11, 11"]
    encodings = [b"Transfer-Encoding: chunked", b"transfer-encoding:chunked",
                 b"Transfer-Encoding: CHUNKED", b"Transfer-Encoding:\tchunked",
                 b"Transfer-Encoding: identity", b"Transfer-Encoding: gzip, chunked",
                 b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: x",
                 b"Transfer-Encoding:", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x"]
    for length, encoding, turned in itertools.product(lengths, encodings, (False, True)):
        lines = (encoding, length) if turned else (length, encoding)
        fields = b"\r\n".join(lines) + b"\r\n"
        yield Case(f"A1 {fields!r}", request(fields, CHUNKED_BODY + HIDDEN), must_refuse=True)


def _encodings() -> Iterator[Case]:
    """A1: spellings of `Transfer-Encoding`."""
    values = [
        b"chunke", b"xchunked", b"chunkedx", b"chunked ,", b",chunked", b"chunked,", b"chunked;q=1",
        b"chunked; a=b", b'"chunked"', b"'chunked'", b"chun\tked", b"chun ked", b"chunked chunked",
        b"chunked, chunked", b"identity", b"identity, chunked", b"chunked, identity", b"gzip",
        b"deflate, chunked", b"gzip, chunked, gzip", b"cow", b"cow, chunked", b"\x0bchunked",
        b"\x0cchunked", b"chunked\x0b", b"\xa0chunked", b"chunked\xa0", b"\xffchunked", b"chunked\x00",
        b"\x00chunked", b"chunked\r", b"\rchunked", b"c\\hunked", b"chunked\\", b"trailers", b"",
        b",", b" , ", b"chunked\r\n chunked", b"\r\n chunked", b"gzip\r\n\tchunked", b"ch\xc3\xbcnked",
        b"chunKed\xe2\x84\xaa", b"chun\xe2\x84\xaaed", b"(x)chunked", b"chunked(x)", b"0", b"true",
    ]
    for value in values:
        fields = b"Transfer-Encoding: " + value + b"\r\n"
        yield Case(f"A1 encoding {value!r}", request(fields, CHUNKED_BODY + HIDDEN), must_refuse=True)
    names = [b"Transfer-Encoding ", b" Transfer-Encoding", b"Transfer-Encoding\t", b"Transfer\tEncoding",
             b"Transfer Encoding", b"\x00Transfer-Encoding", b"Transfer-Encoding\x00", b'"Transfer-Encoding"',
             b"Transfer-Encoding\r", b"\xffTransfer-Encoding", b"Transfer\x0b-Encoding", b"Transfer-\nEncoding",
             b"x\rTransfer-Encoding", b"x\nTransfer-Encoding", b"Transfer-Encoding: x\nTransfer-Encoding"]
    for name, more in itertools.product(names, (b"", b"Content-Length: 11\r\n")):
        fields = more + name + b": chunked\r\n"
        yield Case(f"A1 name {name!r} {more!r}", request(fields, CHUNKED_BODY + HIDDEN), must_refuse=True)


def _lengths() -> Iterator[Case]:
    """A1: odd values of `Content-Length`."""
    values = [
        b"", b" ", b"+5", b"-5", b"-0", b"+0", b"5 5", b"5,5", b"5, 5", b"5,6", b"5;", b"5.0", b"5e0",
        b"0x5", b"0o5", b"5_0", b"1_0", b"five", b"5a", b"a5", b"'5'", b'"5"', b"5\x0b", b"\x0c5",
        b"\xa05", b"5\xa0", b"\xd9\xa5", b"\xef\xbc\x95", b"5\x00", b"\x005", b"5\r", b"18446744073709551616",
        b"18446744073709551621", b"99999999999999999999999999", b"9223372036854775808",
        b"4294967301,", b",5", b"5,", b"5\r\n 5", b"\r\n 5", b"1\r\n\t5", b"(5)", b"5(x)", b"%35", b"\\5",
        b"NaN", b"inf", b"null", b"\x7f5", b"5\x1f", b"5 \x01",
    ]
    for value in values:
        fields = b"Content-Length: " + value + b"\r\n"
        yield Case(f"A1 length {value!r}", request(fields, b"01234" + HIDDEN), must_refuse=True)
    for first, second in itertools.product((b"5", b"0", b"05", b"6"), repeat=2):
        fields = b"Content-Length: " + first + b"\r\nContent-Length: " + second + b"\r\n"
        yield Case(f"A1 lengths {first!r} {second!r}", request(fields, b"01234" + HIDDEN), must_refuse=True)
    for name in (b"Content-Length ", b" Content-Length", b"Content-Length\t", b"Content Length",
                 b"Content-Length\x00", b"\x00Content-Length", b"\xffContent-Length", b"X\rContent-Length",
                 b"X\nContent-Length", b"", b"Content-Length\x0b", b"Content-Length\x1f"):
        yield Case(f"A1 length of {name!r}", request(name + b": 5\r\n", b"01234" + HIDDEN), must_refuse=True)


def _chunks() -> Iterator[Case]:
    """A2: sizes, extensions and ends of chunks."""
    heads = [
        b"", b" ", b"\t", b"g", b"0x5", b"0X5", b"+5", b"-5", b"-1", b"5 ", b" 5", b"\t5", b"5\t", b"5 5",
        b"5h", b"5,", b"5.", b"5_", b"_5", b"5\x00", b"\x005", b"5\x0b", b"5\r", b"\r5", b"5\xa0", b"\xef\xbc\x95",
        b"10000000000000005", b"fffffffffffffffff", b"ffffffffffffffff", b"fffffffffffffffb", b"8000000000000005",
        b"100000005", b"00000000000000000000000000000005", b"5;a\nb", b"5;a\rb", b'5;a="\r\nb"', b"5;\x00",
        b'5;a="x\ny"', b"5;\x7f", b"5 ;a", b"5\t;a", b"5;a=b c", b'5;"', b"5;=", b"5;;", b"5;a=\xff",
        b"5;" + b"a" * 9000, b"5\n", b"5\r\n\n", b"\n5", b"\r\n5", b"5;a\r\n\r\n", b"5#", b"5%", b"5\\", b"'5'",
    ]
    te = b"Transfer-Encoding: chunked\r\n"
    legal = {b"5;a=b c", b'5;"', b"5;=", b"5;;", b"5;a=\xff", b"5 ;a", b"5\t;a",
             b"00000000000000000000000000000005", b"5;a\r\n\r\n", b"5\r\n\n"}
    for head in heads:
        body = head + b"\r\n01234\r\n0\r\n\r\n"
        if head in legal:
            yield Case(f"A2 head {head[:40]!r}", request(te, body + SECOND), requests=2)
        else:
            yield Case(f"A2 head {head[:40]!r}", request(te, body + HIDDEN), must_refuse=True)
    bodies = [
        b"5\n01234\n0\n\n", b"5\r\n01234\n0\r\n\r\n", b"5\r\n01234\r0\r\n\r\n", b"5\r\n012340\r\n\r\n",
        b"5\r\n01234XX\r\n0\r\n\r\n", b"5\r\n01234\r\r\n0\r\n\r\n", b"5\r01234\r0\r\r", b"5\r\n0123\r\n0\r\n\r\n",
        b"5\r\n01234\r\n0\n\r\n", b"5\r\n01234\r\n0\r\n\n", b"5\r\n01234\r\n0\r\r\n\r\n", b"5\r\n01234\r\n-0\r\n\r\n",
        b"5\r\n01234\r\n0\r\nX\r\n\r\n", b"5\r\n01234\r\n0\r\n X: y\r\n\r\n", b"5\r\n01234\r\n0\r\nX : y\r\n\r\n",
        b"5\r\n01234\r\n0\r\nX: a\nY: b\r\n\r\n", b"5\r\n01234\r\n0\r\nX: a\rY: b\r\n\r\n",
        b"5\r\n01234\r\n0\r\nX: \x00\r\n\r\n", b"5\r\n01234\r\n0\r\n: y\r\n\r\n", b"5\r\n01234\r\n0\r\nX: a\r\n b\r\n\r\n",
    ]
    for body in bodies:
        yield Case(f"A2 body {body!r}", request(te, body + HIDDEN), must_refuse=True)


def _old() -> Iterator[Case]:
    """A3: HTTP/1.0 with chunks, bodies until close, and versions that do not exist."""
    old = b"HTTP/1.0"
    for fields in (b"", b"Connection: keep-alive\r\n", b"Connection: close\r\n", b"Content-Length: 11\r\n"):
        chunked = b"Transfer-Encoding: chunked\r\n" + fields
        yield Case(f"A3 {fields!r}", request(chunked, CHUNKED_BODY + HIDDEN, version=old), must_refuse=True)
        yield Case(
            f"A3 no host {fields!r}",
            request(chunked, CHUNKED_BODY + HIDDEN, version=old, host=b""),
            must_refuse=True,
        )
    for version in (b"HTTP/0.9", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/1", b"HTTP/1.", b"HTTP/.1", b"HTTP/1.1 ",
                    b" HTTP/1.1", b"HTTP/11", b"HTTP/01.1", b"HTTP/1.10", b"HTTP/1.01", b"http/1.1", b"Http/1.1",
                    b"HTTP /1.1", b"HTTP/ 1.1", b"HTTP/1 .1", b"HTTP/1,1", b"HTTP/+1.1", b"HTTP/1.1\t", b"HTTP/-1.1",
                    b"HTTP/1.1\x00", b"HTTP/1.1\r", b"HTTPS/1.1", b"ICY/1.1", b"", b"HTTP", b"HTTP/", b"HTTP/1.1.1",
                    b"HTTP/\xef\xbc\x91.1", b"HTTP/3.0", b"HTTP/9.9", b"XHTTP/1.1", b"HTTP/1.1 HTTP/1.1"):
        yield Case(f"A3 version {version!r}", request(method=b"GET", version=version) + HIDDEN, must_refuse=True)


def _bytes() -> Iterator[Case]:
    """A5: each byte that is not plain text, in five places."""
    for byte in (*range(0x20), *range(0x7F, 0x100)):
        odd, text = bytes([byte]), f"0x{byte:02x}"
        breaks = byte in {0x00, 0x0A, 0x0D}
        control = byte < 0x20 or byte == 0x7F
        yield Case(f"A5 {text} in a name", request(b"X-A" + odd + b"B: c\r\n", method=b"GET"), must_refuse=True)
        yield Case(
            f"A5 {text} before a colon", request(b"X-A" + odd + b": c\r\n", method=b"GET"), must_refuse=True
        )
        yield Case(
            f"A5 {text} in a value", request(b"X-A: b" + odd + b"c\r\n", method=b"GET"),
            must_refuse=control and byte != 0x09,
        )
        yield Case(
            f"A5 {text} in a target", request(method=b"GET", target=b"/case/<N>/a" + odd + b"b"),
            must_refuse=control,
        )
        yield Case(f"A5 {text} in a method", request(method=b"G" + odd + b"T"), must_refuse=True)
        if not breaks:
            blank = byte == 0x09
            yield Case(
                f"A5 {text} in a length",
                request(b"Content-Length: 5" + odd + b"\r\n", b"01234" + (SECOND if blank else HIDDEN)),
                must_refuse=not blank, requests=2 if blank else 1,
            )


def _lines() -> Iterator[Case]:
    """A5: line ends, folds, whitespace, names."""
    yield Case("A5 bare LF everywhere", request(method=b"GET").replace(b"\r\n", b"\n"), must_refuse=True)
    yield Case("A5 bare CR everywhere", request(method=b"GET").replace(b"\r\n", b"\r"), must_refuse=True)
    for fields in (b"X: a\r\n b\r\n", b"X: a\r\n\tb\r\n", b"X:\r\n a\r\n", b" X: a\r\n", b"\tX: a\r\n", b": a\r\n",
                   b"X\r\n", b"X a\r\n", b"X : a\r\n", b"X\t: a\r\n", b"X: a\n\r\n", b"X: a\nY: b\r\n", b"X: a\rY: b\r\n",
                   b"X: a\r\r\n", b"X(: a\r\n", b"X[]: a\r\n", b"X{: a\r\n", b'X": a\r\n', b"X,Y: a\r\n", b"X;Y: a\r\n",
                   b"X@Y: a\r\n", b"X/Y: a\r\n", b"X=Y: a\r\n", b"X?Y: a\r\n", b"X\\Y: a\r\n", b"X<Y: a\r\n", b"\r\r\n",
                   b"\n", b"Expect: 100-kontinue\r\n", b"X: " + b"a" * 200_000 + b"\r\n", b"X: a\r\n" * 2000,
                   b"Connection: a b\r\n", b"Connection: " + b"x," * 99 + b"x\r\n", b"A" * 70_000 + b": b\r\n"):
        yield Case(f"A5 line {fields[:30]!r}", request(fields, method=b"GET") + HIDDEN, must_refuse=True)
    for line in (b"GET  /case/<N> HTTP/1.1", b"GET /case/<N>  HTTP/1.1", b"GET\t/case/<N>\tHTTP/1.1", b" GET /case/<N> HTTP/1.1",
                 b"GET /case/<N> HTTP/1.1 ", b"GET /case/<N>", b"GET", b"/case/<N> HTTP/1.1", b"GET HTTP/1.1", b"GET /case/<N> x HTTP/1.1",
                 b"GET case/<N> HTTP/1.1", b"GET ?case/<N> HTTP/1.1", b"GET * HTTP/1.1", b"G@T /case/<N> HTTP/1.1", b"GET: /case/<N> HTTP/1.1",
                 b"(GET) /case/<N> HTTP/1.1", b'"GET" /case/<N> HTTP/1.1', b"GET /case/<N>#f HTTP/1.1", b"GET #/case/<N> HTTP/1.1",
                 b"GET \\case\\<N> HTTP/1.1", b"GET /case/<N>\x0bHTTP/1.1", b"\x00GET /case/<N> HTTP/1.1", b"GET /" + b"a" * 100_000 + b" HTTP/1.1",
                 b"A" * 5000 + b" /case/<N> HTTP/1.1", b"GET /case/<N> HTTP/1.1\r\n", b"\n\nGET /case/<N> HTTP/1.1", b"\r\n\r\n\r\nGET /case/<N> HTTP/1.1"):
        case = line + b"\r\n" + HOST + b"X-Case: <N>\r\n\r\n"
        # An empty line before a request is to be ignored; one that ends the head early is no host.
        yield Case(f"A5 start {line[:40]!r}", case, must_refuse=True)


def _authorities() -> Iterator[Case]:
    """A7: `Host` and target that disagree, or are no authority."""
    odd = [
        b"origin.test:80:80", b"origin.test:", b"origin.test:x", b"origin.test:65536", b"origin.test:-80", b"origin.test:+80",
        b"user@origin.test", b"user:pass@origin.test", b"origin.test@evil.test", b"origin.test,evil.test", b"origin.test, origin.test",
        b"origin.test evil.test", b"origin.test/evil", b"origin.test?x", b"origin.test#x", b"origin.test\\evil", b"http://origin.test",
        b"origin.test:80/x", b"[origin.test]", b"[::1", b"::1", b"[::1]x", b"", b" ", b":80", b"orig\x00in.test", b"orig\tin.test",
        b"orig%69n.test", b"origin.test%00", b"origin.test%0d%0a", b'"origin.test"', b"origin.test;x", b"'origin.test'", b"(origin.test)",
        b"origin.test|x", b"origin.test$", b"*", b"*.test", b"origin.test&x", b"o\xffrigin.test", b"origin.test:\xd9\xa8\xd9\xa0",
        b"origin.test:8 0", b"origin.test :80", b"origin.test:0x50", b"a" * 300,
    ]
    for host in odd:
        field = b"Host: " + host + b"\r\n"
        yield Case(f"A7 host {host[:30]!r}", request(method=b"GET", host=field), must_refuse=True)
        target = b"http://" + host + b"/case/<N>"
        if host not in {b"origin.test/evil", b"origin.test?x", b"origin.test:80/x"}:
            yield Case(f"A7 absolute {host[:30]!r}", request(method=b"GET", target=target), must_refuse=True)
    for target, host in itertools.product(
        (b"http://origin.test/case/<N>", b"http://origin.test:80/case/<N>", b"HTTP://ORIGIN.TEST/case/<N>", b"https://origin.test/case/<N>",
         b"ftp://origin.test/case/<N>", b"//origin.test/case/<N>", b"http:/origin.test/case/<N>", b"http:origin.test/case/<N>",
         b"http:///case/<N>", b"ws://origin.test/case/<N>", b"origin.test:80", b"origin.test", b"http://origin.test?case/<N>",
         b"http://origin.test#case/<N>", b"http://[::1]/case/<N>", b"file:///case/<N>", b"javascript:x"),
        (b"Host: origin.test\r\n", b"Host: evil.test\r\n", b"Host: origin.test:81\r\n", b"Host: origin.test:443\r\n",
         b"", b"Host: origin.test\r\nHost: evil.test\r\n", b"Host: origin.test\r\nHost: origin.test\r\n", b"Host:\r\n",
         b"Host: origin.test:080\r\n", b"Host: origin.test.\r\n", b"hOsT: oRiGiN.tEsT\r\n", b" Host: origin.test\r\n",
         b"Host : origin.test\r\n", b"Host: evil.test\r\n origin.test\r\n"),
    ):
        refuse = host.lower().count(b"host") != 1 or host[:1] == b" " or b" :" in host
        refuse = refuse or (b"evil" in host and target[:2] != b"//")
        yield Case(f"A7 {target!r} {host!r}", request(method=b"GET", target=target, host=host), must_refuse=refuse)
    for target, body in itertools.product(
        (b"/case/<N>", b"http://origin.test/case/<N>", b"origin.test", b"origin.test:0", b"origin.test:x", b"*", b"origin.test:70000",
         b"user@origin.test:80", b"", b"origin.test:80/case/<N>"),
        (b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"),
    ):
        yield Case(f"A7 CONNECT {target!r} {body!r}", request(body, HIDDEN, method=b"CONNECT", target=target), must_refuse=True)




def _upgrades() -> Iterator[Case]:
    """A4: bytes that follow an upgrade before it was granted."""
    for protocol, method, early in itertools.product(
        (b"websocket", b"h2c", b"TLS/1.0", b"x/1", b"websocket, h2c", b"", b"websocket\r\nUpgrade: x"),
        (b"GET", b"POST", b"OPTIONS"),
        (SECOND, b"\x81\x05hello", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /hidden/<N>"),
    ):
        fields = b"Connection: upgrade\r\nUpgrade: " + protocol + b"\r\n"
        if protocol == b"h2c":
            fields = b"Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAA\r\n"
        yield Case(f"A4 {method!r} {protocol!r} {early[:12]!r}", request(fields, early, method=method), requests=2)


def _pipelines() -> Iterator[Case]:
    """A1: what follows a whole request."""
    whole = {
        "none": request(method=b"GET"),
        "length": request(b"Content-Length: 5\r\n", b"01234"),
        "chunked": request(b"Transfer-Encoding: chunked\r\n", CHUNKED_BODY),
        "head": request(method=b"HEAD"),
        "close": request(b"Connection: close\r\n", method=b"GET"),
        "expect": request(b"Content-Length: 5\r\nExpect: 100-continue\r\n", b"01234"),
        "delete": request(b"Content-Length: 5\r\n", b"01234", method=b"DELETE"),
        "get with body": request(b"Content-Length: 5\r\n", b"01234", method=b"GET"),
    }
    after = [b"\n", b"\r", b"\0", b"x", b"0\r\n\r\n", b"\r\n", b" GET /hidden/<N> HTTP/1.1\r\n\r\n", b"GET /hidden/<N>\r\n", b"\x16\x03\x01",
             b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", SECOND.replace(b"Host: origin.test\r\n", b""), SECOND.replace(b"\r\n", b"\n"), SECOND]
    for (name, first), rest in itertools.product(whole.items(), after):
        yield Case(f"A1 {name} then {rest[:16]!r}", first + rest, requests=2)
    for name, first in whole.items():
        yield Case(f"A1 {name} ten times", first + SECOND * 9, requests=10)


def _aliases() -> Iterator[Case]:
    """A9: names that servers behind CGI or WSGI take for others."""
    for name, body in ((b"Content_Length", b"5"), (b"CONTENT_LENGTH", b"0"), (b"Transfer_Encoding", b"chunked"), (b"transfer_encoding", b"identity"),
                       (b"Transfer_encoding", b"chunked"), (b"Content_length", b"99"), (b"Host_", b"evil.test"), (b"X_Forwarded_For", b"10.0.0.1"),
                       (b"X-Forwarded_For", b"10.0.0.1"), (b"X_Forwarded-For", b"::1"), (b"X_Real_IP", b"::1"), (b"X_Forwarded_Client_Cert", b"By=x"),
                       (b"Proxy_Authorization", b"x"), (b"X_Envoy_Internal", b"true"), (b"Content.Length", b"5"), (b"Transfer.Encoding", b"chunked")):
        for more in (b"", b"Content-Length: 11\r\n", b"Transfer-Encoding: chunked\r\n"):
            sent = CHUNKED_BODY if more else b""
            yield Case(f"A9 {name!r} {more!r}", request(name + b": " + body + b"\r\n" + more, sent))


def _hop_by_hop() -> Iterator[Case]:
    """A11: `Connection` that names what must arrive."""
    for name in (b"Host", b"Content-Length", b"Transfer-Encoding", b"X-Forwarded-For", b"Authorization", b"Cookie", b"X-Case", b"Content-Type",
                 b"X-Request-Id", b"Forwarded", b"Trailer", b"Expect", b"Connection", b"TE", b"Upgrade", b"X-Envoy-Original-Path"):
        for form in (b"Connection: %s\r\n", b"Connection: close, %s\r\n", b"Connection: keep-alive,%s,te\r\n", b"Proxy-Connection: %s\r\n"):
            fields = form % name + b"Content-Length: 5\r\nAuthorization: me\r\nCookie: a=b\r\nX-Forwarded-For: 192.0.2.1\r\n"
            yield Case(f"A11 {name!r} {form!r}", request(fields, b"01234"))
            chunked = form % name + b"Transfer-Encoding: chunked\r\n"
            yield Case(f"A11 chunked {name!r} {form!r}", request(chunked, CHUNKED_BODY))


def _trailers() -> Iterator[Case]:
    """A10: trailers that would change the request if they were taken for its fields."""
    for trailer in (b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Host: evil.test", b"Authorization: me", b"X-Forwarded-For: 192.0.2.1",
                    b"Connection: close", b"TE: trailers", b"Trailer: x", b"Upgrade: websocket", b"Cookie: a=b", b"Expect: 100-continue",
                    b"Content_Length: 5", b"Transfer_Encoding: chunked", b"X-Forwarded-Client-Cert: By=x", b"Content-Type: a/b",
                    b"Content-Encoding: gzip", b"Cache-Control: no-store", b"Max-Forwards: 1", b"Range: bytes=0-", b"Set-Cookie: a=b",
                    b":path: /hidden/<N>", b":authority: evil.test", b"Content-Length: 5\r\nX: y", b"X: y\r\nHost: evil.test"):
        body = b"5\r\n01234\r\n0\r\n" + trailer + b"\r\n\r\n"
        for fields in (b"", b"Trailer: X\r\n", b"TE: trailers\r\nConnection: te\r\n"):
            yield Case(f"A10 {trailer!r} {fields!r}", request(b"Transfer-Encoding: chunked\r\n" + fields, body))
