"""What hooks see. The proxy gives its own objects of this shape, which read where the bytes are."""

from abc import ABCMeta, abstractmethod
from collections.abc import Iterator, Mapping

from meshcore.errors import UndeclaredAttribute


class Message(metaclass=ABCMeta):
    """Something whose attributes are read by their names in `reads=`."""

    __slots__ = ()

    @abstractmethod
    def attribute(self, name: str) -> str | None:
        """Returns the value of an attribute, such as `request.headers[x-tenant]`.

        Raises:
            UndeclaredAttribute: The hook's `reads=` does not have it.
            RequestGone: The hook has returned already.
        """

    @abstractmethod
    def header_names(self) -> Iterator[str]:
        """Returns the names of all headers, in lower case.

        Raises:
            UndeclaredAttribute: The hook has `reads=`, and names are not among them.
            RequestGone: The hook has returned already.
        """

    def _text(self, name: str) -> str:
        return self.attribute(name) or ""


class Headers(Mapping[str, str | None]):
    """Header fields by name, in any case. A field that is missing is `None`, not an error.

    Several fields of one name are one value, joined with `, `.
    """

    __slots__ = ("_message", "_side")

    def __init__(self, message: Message, side: str) -> None:
        self._message = message
        self._side = side

    def __getitem__(self, name: str) -> str | None:
        lowered = name.lower()
        if lowered == "host" and self._side == "request":
            return self._message.attribute("request.host")
        return self._message.attribute(f"{self._side}.headers[{lowered}]")

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self[name] is not None

    def __iter__(self) -> Iterator[str]:
        return self._message.header_names()

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Request(Message):
    """A request, while a hook is called. It cannot be kept: read what you need of it."""

    __slots__ = ()

    @property
    def method(self) -> str:
        """`request.method`, such as `GET`."""
        return self._text("request.method")

    @property
    def path(self) -> str:
        """`request.path`: normalised, without the query."""
        return self._text("request.path")

    @property
    def query(self) -> str | None:
        """`request.query`, without the `?`; `None` if there is none."""
        return self.attribute("request.query")

    @property
    def host(self) -> str:
        """`request.host`: the authority, as the client named it."""
        return self._text("request.host")

    @property
    def scheme(self) -> str:
        """`request.scheme`: `http` or `https`."""
        return self._text("request.scheme")

    @property
    def protocol(self) -> str:
        """`request.protocol`: `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`."""
        return self._text("request.protocol")

    @property
    def headers(self) -> Headers:
        """`request.headers[...]`."""
        return Headers(self, "request")

    @property
    def principal(self) -> str | None:
        """`source.principal`: the peer's SPIFFE identity; `None` if it proved none."""
        return self.attribute("source.principal")

    @property
    def namespace(self) -> str | None:
        """`source.namespace`: the namespace in the peer's identity."""
        return self.attribute("source.namespace")

    @property
    def ip(self) -> str:
        """`source.ip`: the peer's address."""
        return self._text("source.ip")

    @property
    def port(self) -> int:
        """`destination.port`: the port that the request was sent to."""
        return int(self._text("destination.port"))

    @property
    def mtls(self) -> bool:
        """`connection.mtls`: whether the peer proved its identity."""
        return self._text("connection.mtls") == "true"

    @property
    def route(self) -> str:
        """`route.name`: the rule that took the request; empty before routing."""
        return self._text("route.name")


class Response(Message):
    """A response, while a hook is called."""

    __slots__ = ()

    @property
    def status(self) -> int:
        """`response.code`."""
        return int(self._text("response.code"))

    @property
    def headers(self) -> Headers:
        """`response.headers[...]`."""
        return Headers(self, "response")


class Record(metaclass=ABCMeta):
    """A finished request, for telemetry hooks."""

    __slots__ = ()

    direction: str
    """`inbound` or `outbound`."""
    method: str
    host: str
    path: str
    """Without the query."""
    status: int
    """Sent to the client."""
    flags: str
    """As in the access log."""
    principal: str
    """Identity of the peer; empty when it proved none."""
    service: str
    """Called service."""
    route: str
    """Name of the rule."""
    duration_us: int
    """Microseconds from the first byte to the last."""
    request_bytes: int
    response_bytes: int

    @abstractmethod
    def attribute(self, name: str) -> str | None:
        """Returns a declared attribute, such as `request.headers[x-tenant]`.

        Raises:
            UndeclaredAttribute: No telemetry hook's `reads=` has it.
        """


def undeclared(hook: str, origin: str, name: str, reads: tuple[str, ...]) -> UndeclaredAttribute:
    """Returns the error of a read that was not declared, with the line to write."""
    line = ", ".join(f'"{known}"' for known in (*reads, name))
    return UndeclaredAttribute(
        f"hook {hook} reads {name} but does not declare it, write reads=[{line}] at {origin}"
    )
