"""Requests that are unusual and right: every one must arrive."""

import itertools
from collections.abc import Iterator

from tests.reliability.h1_cases import CHUNKED_BODY, SECOND, Case, request

# fmt: off


def legal() -> list[Case]:
    """Returns at least two hundred."""
    return [*_methods(), *_targets(), *_fields(), *_bodies(), *_hosts(), *_connections()]


def _methods() -> Iterator[Case]:
    for method in (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH", b"PROPFIND", b"MKCOL",
                   b"M-SEARCH", b"get", b"X", b"A_B", b"A.B", b"!#$%&'*+-.^_`|~", b"REPORT", b"PURGE", b"QUERY", b"UPDATEREDIRECTREF"):
        yield Case(f"method {method!r}", request(method=method))
    yield Case("OPTIONS *", request(method=b"OPTIONS", target=b"*"))


def _targets() -> Iterator[Case]:
    for tail in (b"?", b"?a", b"?a=b&c=d", b"?a=b=c", b"??", b"?/", b"?a/b?c", b"?a%20b", b"?q=%00", b"?q=%0d%0a", b"?%", b"?a=%zz",
                 b"?http://x/", b"?;", b"?,", b"?a[]=1", b"?a|b", b"?{x}", b"?a^b", b"?`", b'?"', b"?<>", b"?\\", b";v=1", b"/;v=1/x",
                 b"/a,b", b"/a;b;c", b"/a:b", b"/a=b", b"/a+b", b"/a&b", b"/a$b", b"/a!b", b"/a'b", b"/(a)", b"/a*b", b"/~a", b"/a%20b",
                 b"/%C3%BC", b"/%E2%82%AC", b"/a%25b", b"/a.b", b"/.a", b"/a..b", b"/..a", b"/...", b"/a-b_c", b"/" + b"a" * 4000,
                 b"?" + b"q" * 4000, b"/" + b"a/" * 200, b"/a%3Fb", b"/a%23b", b"/a%40b", b"/a%3Ab", b"/a%26b", b"/a%3Db"):
        yield Case(f"target {tail[:30]!r}", request(method=b"GET", target=b"/case/<N>" + tail))


def _fields() -> Iterator[Case]:
    for name in (b"X", b"x-a", b"X-A-B-C", b"!x", b"#x", b"$x", b"%x", b"&x", b"'x", b"*x", b"+x", b"-x", b".x", b"^x", b"`x", b"|x", b"~x",
                 b"0x", b"9", b"x.y", b"X-" + b"a" * 200):
        yield Case(f"name {name[:20]!r}", request(name + b": v\r\n", method=b"GET"))
    for value in (b"", b" ", b"\t", b"a", b"  a  ", b"\ta\t", b"a b", b"a\tb", b":", b"::", b"a:b", b'"', b'"a', b"'", b"a,b", b",", b"a;b",
                  b"=", b"{}", b"[]", b"<>", b"()", b"\\", b"/", b"?", b"@", b"%", b"%0d%0a", b"\xc3\xbc", b"\x80", b"\xff", b"\xe2\x82\xac",
                  b"a" * 4000, b"Transfer-Encoding: chunked", b"HTTP/1.1", b"\xa0", b"|", b"~", b"`", b"^"):
        yield Case(f"value {value[:20]!r}", request(b"X-V:" + value + b"\r\n", method=b"GET"))
    yield Case("fifty fields", request(b"".join(b"X-%d: v\r\n" % n for n in range(50)), method=b"GET"))
    yield Case("one name twice", request(b"X: a\r\nX: b\r\nx: a\r\n", method=b"GET"))
    yield Case("two cookies", request(b"Cookie: a=b\r\nCookie: c=d\r\n", method=b"GET"))
    yield Case("empty line before", b"\r\n" + request(method=b"GET"))
    yield Case("no space after colons", request(b"X:a\r\nY:b\r\n", method=b"GET", host=b"Host:origin.test\r\n"))
    yield Case("case of names", request(b"x-a: b\r\nX-B: c\r\n", method=b"GET", host=b"hOST: origin.test\r\n"))


def _bodies() -> Iterator[Case]:
    for size in (0, 1, 2, 15, 16, 255, 256, 4095, 4096, 4097, 16384, 70_000):
        body = b"b" * size
        yield Case(f"length {size}", request(b"Content-Length: %d\r\n" % size, body))
        yield Case(f"length with zeros {size}", request(b"Content-Length: 000%d\r\n" % size, body))
        chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (size, body) if size else b"0\r\n\r\n"
        yield Case(f"one chunk {size}", request(b"Transfer-Encoding: chunked\r\n", chunk))
    for head in (b"5", b"05", b"0000000005", b"5;a", b"5;a=b", b'5;a="b"', b'5;a="b;c"', b"5;a=b;c=d", b"5;a;b"):
        body = head + b"\r\n01234\r\n0\r\n\r\n"
        yield Case(f"chunk {head!r}", request(b"Transfer-Encoding: chunked\r\n", body))
    for end in (b"0\r\n\r\n", b"00\r\n\r\n", b"000000\r\n\r\n", b"0;a=b\r\n\r\n", b"0\r\nX-T: y\r\n\r\n", b"0\r\nX-T: y\r\nX-U: z\r\n\r\n"):
        yield Case(f"end {end!r}", request(b"Transfer-Encoding: chunked\r\nTrailer: X-T\r\n", b"A\r\n0123456789\r\n" + end))
    yield Case("bytes one by one", request(b"Transfer-Encoding: chunked\r\n", b"1\r\nx\r\n" * 300 + b"0\r\n\r\n"))
    yield Case("chunked in capitals", request(b"Transfer-Encoding: Chunked\r\n", CHUNKED_BODY))
    for method in (b"GET", b"DELETE", b"OPTIONS", b"PATCH", b"HEAD", b"SEARCH"):
        yield Case(f"{method!r} with a body", request(b"Content-Length: 5\r\n", b"01234", method=method))
    yield Case("body like a request", request(b"Content-Length: %d\r\n" % len(SECOND.replace(b"<N>", b"123456")), SECOND.replace(b"<N>", b"123456")))
    yield Case("expect", request(b"Content-Length: 5\r\nExpect: 100-continue\r\n", b"01234"))
    yield Case("expect in capitals", request(b"Content-Length: 5\r\nExpect: 100-CONTINUE\r\n", b"01234"))


def _hosts() -> Iterator[Case]:
    for host in (b"origin.test", b"ORIGIN.TEST", b"Origin.Test", b"origin.test:80", b"ORIGIN.test:80", b"  origin.test", b"origin.test  ", b"\torigin.test"):
        yield Case(f"host {host!r}", request(method=b"GET", host=b"Host: " + host + b"\r\n"))
    for target in (b"http://origin.test/case/<N>", b"http://origin.test:80/case/<N>", b"HTTP://origin.test/case/<N>", b"hTTp://ORIGIN.test/case/<N>",
                   b"http://origin.test/case/<N>?a=b"):
        for host in (b"origin.test", b"ORIGIN.TEST", b"origin.test:80"):
            yield Case(f"absolute {target!r} {host!r}", request(method=b"GET", target=target, host=b"Host: " + host + b"\r\n"))
    yield Case("HTTP/1.0 with a host", request(method=b"GET", version=b"HTTP/1.0"))


def _connections() -> Iterator[Case]:
    for value, version in itertools.product((b"close", b"keep-alive", b"Keep-Alive", b"X-Hop", b"close, X-Hop", b",close", b"keep-alive,", b"te"),
                                            (b"HTTP/1.1", b"HTTP/1.0")):
        yield Case(f"connection {value!r} {version!r}", request(b"Connection: " + value + b"\r\nX-Hop: a\r\n", method=b"GET", version=version))
    for count in (2, 3, 10, 50):
        yield Case(f"{count} in a row", request(method=b"GET") + SECOND * (count - 1), requests=count)
    bodies = request(b"Content-Length: 5\r\n", b"01234") + request(b"Transfer-Encoding: chunked\r\n", CHUNKED_BODY)
    yield Case("bodies in a row", bodies * 3 + SECOND, requests=7)
    for protocol in (b"websocket", b"x/1", b"h2c"):
        yield Case(f"upgrade {protocol!r} that is declined", request(b"Connection: upgrade\r\nUpgrade: " + protocol + b"\r\n", method=b"GET"))
