"""Requests and responses made by tests."""

from collections.abc import Iterator, Mapping
from typing import TypedDict, Unpack

from meshcore.errors import RequestGone
from meshcore.plugin.attributes import PLAIN, canonical
from meshcore.plugin.hooks import HookSpec
from meshcore.plugin.request import Request, Response, undeclared

_GONE = "the hook that this request was given to has returned, keep what you need of it instead"


class Peer(TypedDict, total=False):
    """What a request has beside its head."""

    host: str
    scheme: str
    protocol: str
    principal: str
    """SPIFFE identity, such as `spiffe://cluster.local/ns/default/sa/web`."""
    ip: str
    port: int
    route: str


class Facts:
    """Attributes of a request or response, and who may read which."""

    __slots__ = ("_is_gone", "_spec", "values")

    def __init__(self, values: Mapping[str, str | None], spec: HookSpec | None = None) -> None:
        self.values = dict(values)
        self._spec = spec
        self._is_gone = False

    def attribute(self, name: str) -> str | None:
        """Returns a value, under the rules of the hook that reads it."""
        if self._is_gone:
            raise RequestGone(_GONE)
        known = canonical(name)
        reads = self._spec.options.reads if self._spec else None
        if self._spec and reads is not None and known not in reads:
            raise undeclared(self._spec.name, self._spec.origin, known, reads)
        return self.values.get(known)

    def header_names(self, side: str) -> Iterator[str]:
        """Returns the names of headers, which a hook with `reads=` cannot list."""
        if self._is_gone:
            raise RequestGone(_GONE)
        if self._spec and self._spec.options.reads is not None:
            raise undeclared(
                self._spec.name,
                self._spec.origin,
                f"{side}.headers[NAME]",
                self._spec.options.reads,
            )
        prefix = f"{side}.headers["
        names = (name for name in self.values if name.startswith(prefix))
        return iter([name.removeprefix(prefix).removesuffix("]") for name in names])

    def seen_by(self, spec: HookSpec) -> "Facts":
        """Returns the same facts under the rules of a hook."""
        return Facts(self.values, spec)

    def forget(self) -> None:
        """Makes every later read raise: the hook has returned."""
        self._is_gone = True


class TestRequest(Request):
    """A request made by a test."""

    __slots__ = ("facts",)
    __test__ = False

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    def attribute(self, name: str) -> str | None:
        return self.facts.attribute(name)

    def header_names(self) -> Iterator[str]:
        return self.facts.header_names("request")

    def with_attribute(self, name: str, value: str | None) -> "TestRequest":
        """Returns the same request with another value of one attribute."""
        return TestRequest(Facts({**self.facts.values, canonical(name): value}))


class TestResponse(Response):
    """A response made by a test."""

    __slots__ = ("facts",)
    __test__ = False

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    def attribute(self, name: str) -> str | None:
        return self.facts.attribute(name)

    def header_names(self) -> Iterator[str]:
        return self.facts.header_names("response")


def request(
    method: str = "GET",
    target: str = "/",
    *,
    headers: Mapping[str, str] | None = None,
    **peer: Unpack[Peer],
) -> TestRequest:
    """Returns a request as a hook sees it.

    Args:
        method: Such as `GET`.
        target: Path, and a query after `?` if there is one.
        headers: Header fields.
        peer: Who sends it, and where to.
    """
    path, mark, query = target.partition("?")
    principal = peer.get("principal")
    values: dict[str, str | None] = {
        **dict.fromkeys(PLAIN),
        "request.method": method,
        "request.path": path,
        "request.query": query if mark else None,
        "request.host": peer.get("host", "service"),
        "request.scheme": peer.get("scheme", "http"),
        "request.protocol": peer.get("protocol", "HTTP/1.1"),
        "source.principal": principal,
        "source.namespace": _namespace(principal) if principal else None,
        "source.ip": peer.get("ip", "127.0.0.1"),
        "destination.port": str(peer.get("port", 80)),
        "connection.mtls": "true" if principal else "false",
        "route.name": peer.get("route", ""),
    }
    for name, value in (headers or {}).items():
        values[canonical(f"request.headers[{name}]")] = value
    return TestRequest(Facts(values))


def response(status: int = 200, *, headers: Mapping[str, str] | None = None) -> TestResponse:
    """Returns a response as a hook sees it."""
    values: dict[str, str | None] = {"response.code": str(status)}
    for name, value in (headers or {}).items():
        values[canonical(f"response.headers[{name}]")] = value
    return TestResponse(Facts(values))


def _namespace(principal: str) -> str | None:
    _, found, rest = principal.partition("/ns/")
    return rest.partition("/")[0] if found else None
