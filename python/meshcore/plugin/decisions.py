"""What hooks decide. Decisions are values: nothing about a request is changed in place."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from meshcore.errors import PluginError
from meshcore.plugin.attributes import is_token

# Headers that frame the message or belong to one connection; the proxy writes them itself.
# Source: RFC 9110 section 7.6.1, RFC 9112 section 6.
FRAMING = frozenset(
    {
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

_NO_HEADERS: Mapping[str, str] = {}

# Statuses that refuse a request.
_REFUSALS = range(400, 600)
# Source: gRPC's `doc/statuscodes.md`.
_GRPC_REFUSALS = range(1, 17)
# Statuses that end a request. Source: RFC 9110 section 15; 1xx are not an answer.
_FINAL = range(200, 600)


class Decision:
    """What a hook that authorizes returns; see `allow`, `deny` and `abstain`."""

    __slots__ = ()


class Abstain(Decision):
    """No opinion: the next hook, or the native rules, decide."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "abstain()"


class Allow(Decision):
    """Allowed, with changes to the request."""

    __slots__ = ("remove_headers", "set_headers")

    def __init__(
        self,
        set_headers: Mapping[str, str] = _NO_HEADERS,
        remove_headers: Iterable[str] = (),
    ) -> None:
        self.set_headers: Final = _fields(set_headers)
        self.remove_headers: Final = _names(remove_headers)

    def __repr__(self) -> str:
        return _show("allow", self)

    def __eq__(self, other: object) -> bool:
        return type(other) is Allow and _values(self) == _values(other)

    def __hash__(self) -> int:
        return hash((self.set_headers, self.remove_headers))


class Deny(Decision):
    """Refused."""

    __slots__ = ("code", "grpc_status", "reason", "status")

    def __init__(
        self, status: int = 403, reason: str = "", code: str = "", grpc_status: int | None = None
    ) -> None:
        if type(status) is not int or status not in _REFUSALS:
            raise PluginError(f"deny() with status {status!r}, give one from 400 to 599")
        self.status: Final = status
        self.reason: Final = _text("reason", reason)
        self.code: Final = _text("code", code)
        if grpc_status is not None and grpc_status not in _GRPC_REFUSALS:
            raise PluginError(f"deny() with grpc_status {grpc_status!r}, give one from 1 to 16")
        self.grpc_status: Final = grpc_status

    def __repr__(self) -> str:
        return _show("deny", self)

    def __eq__(self, other: object) -> bool:
        return type(other) is Deny and _values(self) == _values(other)

    def __hash__(self) -> int:
        return hash((self.status, self.reason, self.code, self.grpc_status))


class RouteTo:
    """Sends the request to another host, to a subset of a host, or both."""

    __slots__ = ("host", "reason", "subset")

    def __init__(
        self, *, host: str | None = None, subset: str | None = None, reason: str = ""
    ) -> None:
        if not host and not subset:
            raise PluginError("RouteTo() goes nowhere, give host=, subset= or both")
        self.host: Final = None if host is None else _text("host", host)
        self.subset: Final = None if subset is None else _text("subset", subset)
        self.reason: Final = _text("reason", reason)

    def __repr__(self) -> str:
        return _show("RouteTo", self)

    def __eq__(self, other: object) -> bool:
        return type(other) is RouteTo and _values(self) == _values(other)

    def __hash__(self) -> int:
        return hash((self.host, self.subset, self.reason))


class Modify:
    """Changes to a request (headers, path) or a response (headers, status, body)."""

    __slots__ = ("body", "path", "remove_headers", "set_headers", "status")

    def __init__(
        self,
        *,
        set_headers: Mapping[str, str] = _NO_HEADERS,
        remove_headers: Iterable[str] = (),
        path: str | None = None,
        status: int | None = None,
        body: bytes | None = None,
    ) -> None:
        if path is not None and not (path.startswith("/") and _is_visible(path)):
            raise PluginError(f"Modify() with path {path!r}, begin with '/' and escape the rest")
        if status is not None and (type(status) is not int or status not in _FINAL):
            raise PluginError(f"Modify() with status {status!r}, give one from 200 to 599")
        if body is not None and not isinstance(body, bytes):
            raise PluginError(f"Modify() with a body of type {type(body).__name__}, give bytes")
        self.set_headers: Final = _fields(set_headers)
        self.remove_headers: Final = _names(remove_headers)
        self.path: Final = path
        self.status: Final = status
        self.body: Final = body

    def __repr__(self) -> str:
        return _show("Modify", self)

    def __eq__(self, other: object) -> bool:
        return type(other) is Modify and _values(self) == _values(other)

    def __hash__(self) -> int:
        return hash((self.set_headers, self.remove_headers, self.path, self.status, self.body))


def allow(
    *, set_headers: Mapping[str, str] = _NO_HEADERS, remove_headers: Iterable[str] = ()
) -> Decision:
    """Returns the decision to let a request pass, perhaps with other headers.

    A decision that is the same for many requests is best made once, at the top of the plugin:
    making one with headers takes longer than all else that a short hook does.

    Raises:
        PluginError: A header cannot be sent, or is one that the proxy writes itself.
    """
    if not set_headers and not remove_headers:
        return ALLOW
    return Allow(set_headers, remove_headers)


def deny(
    status: int = 403, reason: str = "", code: str = "", *, grpc_status: int | None = None
) -> Decision:
    """Returns the decision to refuse a request.

    Args:
        status: HTTP status for the client, from 400 to 599.
        reason: Why, for the log and the client.
        code: Short code of the policy, for the log and the client.
        grpc_status: Status for a gRPC client, from 1 to 16; follows from `status` if left out.

    Raises:
        PluginError: The status is none of a refusal, or a text has control characters.
    """
    if status == DENY.status and not reason and not code and grpc_status is None:
        return DENY
    return Deny(status, reason, code, grpc_status)


def abstain() -> Decision:
    """Returns the decision to have no opinion: others decide."""
    return ABSTAIN


def _fields(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((_name(name), _value(name, value)) for name, value in headers.items())


def _names(names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise PluginError(f"remove_headers is the text {names!r}, give a list of names")
    return tuple(_name(name) for name in names)


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise PluginError(f"{name!r} cannot be the name of a header")
    return _lowered(name)


@lru_cache(maxsize=256)
def _lowered(name: str) -> str:
    if not is_token(name):
        raise PluginError(f"{name!r} cannot be the name of a header")
    lowered = name.lower()
    if lowered in FRAMING:
        raise PluginError(f"header {lowered!r} is written by the proxy, a hook cannot change it")
    return lowered


def _value(name: str, value: object) -> str:
    if not isinstance(value, str) or not _is_printable(value):
        raise PluginError(f"value {value!r} of header {name!r} cannot be sent, give plain text")
    return value.strip(" \t")


def _text(what: str, text: object) -> str:
    if not isinstance(text, str) or not _is_printable(text):
        raise PluginError(f"{what} {text!r} cannot be shown, give text without control characters")
    return text


def _is_printable(text: str) -> bool:
    return text.isprintable() or all((c >= " " and c != "\x7f") or c == "\t" for c in text)


def _is_visible(text: str) -> bool:
    return all("!" <= c <= "~" and c != "#" for c in text)


def _values(decision: object) -> tuple[object, ...]:
    return tuple(getattr(decision, name) for name in type(decision).__slots__)  # type: ignore[attr-defined]


def _show(name: str, decision: object) -> str:
    slots: tuple[str, ...] = type(decision).__slots__  # type: ignore[attr-defined]
    shown = ((slot, getattr(decision, slot)) for slot in slots)
    return f"{name}({', '.join(f'{slot}={value!r}' for slot, value in shown if value)})"


# The usual decisions, made once: the data plane knows them by identity.
ALLOW: Final = Allow()
ABSTAIN: Final = Abstain()
DENY: Final = Deny()
