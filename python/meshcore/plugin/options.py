"""What the decorators take, checked when the plugin is loaded."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypedDict, TypeVar, cast

from meshcore.errors import InvalidUnit, PluginError
from meshcore.plugin.attributes import SECRETS, canonical, header_of
from meshcore.units import duration_ms, format_ms

# A function that is called for each request has this long. Half of it is spent by a hook that
# is a thousand times slower than a usual one.
DEFAULT_TIMEOUT_MS = 20
# A coroutine waits for somebody else; telemetry is nobody's wait.
DEFAULT_PATIENT_TIMEOUT_MS = 1_000
T = TypeVar("T")

_MAX_TIMEOUT_MS = 60_000
_MAX_CACHE_MS = 24 * 3_600_000
# Two colons at least: one is before a port.
_IPV6 = re.compile(r"[0-9a-f]*:[0-9a-f]*:[0-9a-f:.]*")


class Stage(StrEnum):
    """Where in a request's way a hook is called."""

    ROUTE = "route"
    AUTHORIZE = "authorize"
    ON_REQUEST = "on_request"
    ON_RESPONSE = "on_response"
    TELEMETRY = "telemetry"

    @property
    def parameters(self) -> tuple[str, ...]:
        """What a hook of this stage is called with."""
        return _PARAMETERS[self]


_PARAMETERS = {
    Stage.ROUTE: ("request",),
    Stage.AUTHORIZE: ("request",),
    Stage.ON_REQUEST: ("request",),
    Stage.ON_RESPONSE: ("request", "response"),
    Stage.TELEMETRY: ("records",),
}

# What may be written as on_error, the default first, and the answer it stands for.
_ON_ERROR = {
    Stage.ROUTE: {"skip": "skip", "deny": "deny"},
    Stage.AUTHORIZE: {"deny": "deny", "allow-unsafe": "allow"},
    Stage.ON_REQUEST: {"deny": "deny", "skip": "skip"},
    Stage.ON_RESPONSE: {"skip": "skip", "deny": "deny"},
    Stage.TELEMETRY: {"skip": "skip"},
}

# Stages in which a decision depends on nothing but the request, so that it can be remembered.
_CACHEABLE = frozenset({Stage.ROUTE, Stage.AUTHORIZE, Stage.ON_REQUEST})
# Stages in which there is a response.
_AFTER_RESPONSE = frozenset({Stage.ON_RESPONSE, Stage.TELEMETRY})


class Match(TypedDict, total=False):
    """Which requests a hook is called for. The others do not enter Python."""

    methods: Collection[str]
    paths: Sequence[str]
    """Prefixes."""


class RouteOptions(TypedDict, total=False):
    """Options of every decorator but `on_error`'s words, which differ."""

    reads: Sequence[str]
    """All that the hook reads. It can read nothing else; left out, it can read everything."""
    cache: str
    """How long a decision is remembered under the values of `reads`, such as `30s`."""
    timeout: str
    """Time until the answer of `on_error` is given, such as `20ms`."""
    order: int
    """Hooks of one stage are called from low to high; 0 if left out."""
    hosts: Sequence[str]
    """Hosts the hook is called for, without ports, exact or `*.suffix`; all if left out."""
    match: Match
    blocking: bool
    """The hook waits for something (a file, a server): never call it on a worker."""
    on_error: Literal["skip", "deny"]
    """What happens when the hook raises, is late, or returns what is no decision."""
    isolate: Literal["process"]
    """Runs the plugin in a process of its own, with all of its hooks."""


class AuthorizeOptions(TypedDict, total=False):
    """As `RouteOptions`; an authorization fails closed."""

    reads: Sequence[str]
    cache: str
    timeout: str
    order: int
    hosts: Sequence[str]
    match: Match
    blocking: bool
    on_error: Literal["deny", "allow-unsafe"]
    isolate: Literal["process"]


class TelemetryOptions(TypedDict, total=False):
    """Options of telemetry hooks, which no request waits for."""

    reads: Sequence[str]
    timeout: str
    order: int
    on_error: Literal["skip"]
    isolate: Literal["process"]


_KNOWN = {
    stage: frozenset(
        {
            Stage.AUTHORIZE: AuthorizeOptions,
            Stage.TELEMETRY: TelemetryOptions,
        }.get(stage, RouteOptions).__annotations__
    )
    for stage in Stage
}


@dataclass(frozen=True, slots=True)
class Options:
    """Checked options."""

    reads: tuple[str, ...] | None
    cache_ms: int
    timeout_ms: int
    on_error: str
    order: int
    hosts: tuple[str, ...]
    paths: tuple[str, ...]
    methods: tuple[str, ...]
    is_blocking: bool
    is_isolated: bool
    """Whether it wants a process of its own."""


def check(stage: Stage, written: dict[str, object], *, is_async: bool) -> Options:
    """Returns the options of a decorator.

    Raises:
        PluginError: An option is unknown, of the wrong kind, or does not go with another.
    """
    for name in written:
        if name not in _KNOWN[stage]:
            known = ", ".join(sorted(_KNOWN[stage]))
            raise PluginError(f"@{stage} has no option {name!r}, known are {known}")
    match = _match(written.get("match", {}))
    reads = _reads(stage, written.get("reads"))
    patient = is_async or stage is Stage.TELEMETRY
    default = DEFAULT_PATIENT_TIMEOUT_MS if patient else DEFAULT_TIMEOUT_MS
    return Options(
        reads=reads,
        cache_ms=_cache(stage, written.get("cache"), reads),
        timeout_ms=_time("timeout", written.get("timeout"), default, _MAX_TIMEOUT_MS),
        on_error=_on_error(stage, written.get("on_error")),
        order=_kind("order", written.get("order", 0), int),
        hosts=_hosts(written.get("hosts", ())),
        paths=_paths(match.get("paths", ())),
        methods=tuple(sorted(m.upper() for m in _texts("match methods", match.get("methods", ())))),
        is_blocking=_kind("blocking", written.get("blocking", False), bool),
        is_isolated=_isolate(written.get("isolate")),
    )


def _reads(stage: Stage, written: object) -> tuple[str, ...] | None:
    if written is None:
        return None
    reads = tuple(dict.fromkeys(canonical(name) for name in _texts("reads", written)))
    for name in reads:
        if name.startswith("response.") and stage not in _AFTER_RESPONSE:
            raise PluginError(f"@{stage} cannot read {name}, there is no response yet")
    return reads


def _cache(stage: Stage, written: object, reads: tuple[str, ...] | None) -> int:
    if written is None:
        return 0
    if stage not in _CACHEABLE:
        raise PluginError(f"@{stage} cannot have cache, its answer is not for the request alone")
    if reads is None:
        raise PluginError(
            "cache needs reads, list what the decision depends on, such as"
            ' reads=["source.principal"]'
        )
    for name in reads:
        header = header_of(name)
        if header in SECRETS:
            raise PluginError(
                f"cache with {name} would keep a secret and hardly ever hit: read it without"
                " cache, or decide by source.principal"
            )
    return _time("cache", written, 0, _MAX_CACHE_MS)


def _time(name: str, written: object, default_ms: int, max_ms: int) -> int:
    if written is None:
        return default_ms
    if not isinstance(written, str):
        raise PluginError(f'{name} is {written!r}, write a text with a unit such as "20ms"')
    try:
        found = duration_ms(written)
    except InvalidUnit as error:
        raise PluginError(f"{name}: {error}") from error
    if not 1 <= found <= max_ms:
        raise PluginError(f"{name} is {written}, give one from 1ms to {format_ms(max_ms)}")
    return found


def _on_error(stage: Stage, written: object) -> str:
    known = _ON_ERROR[stage]
    if written is None:
        return next(iter(known.values()))
    if isinstance(written, str) and written in known:
        return known[written]
    if stage is Stage.AUTHORIZE and written == "allow":
        raise PluginError(
            'on_error="allow" lets everybody in when the hook fails: @authorize fails closed;'
            ' if that is meant, write on_error="allow-unsafe"'
        )
    raise PluginError(f"on_error is {written!r}, @{stage} knows {', '.join(known)}")


def _isolate(written: object) -> bool:
    if written not in {None, "process"}:
        raise PluginError(f'isolate is {written!r}, write "process" or leave it out')
    return written is not None


def _match(written: object) -> Match:
    if not isinstance(written, dict) or not written.keys() <= {"methods", "paths"}:
        raise PluginError(f'match is {written!r}, write {{"methods": {{...}}, "paths": [...]}}')
    return cast("Match", written)


def _hosts(written: object) -> tuple[str, ...]:
    return tuple(_host(host) for host in _texts("hosts", written))


def _host(written: str) -> str:
    """Returns a host as the data plane finds it in a request: no port, no dot at the end."""
    host = written.lower().removesuffix(".")
    address = host.removeprefix("[").removesuffix("]")
    if _IPV6.fullmatch(address):
        return f"[{address}]"
    if ":" in host:
        raise PluginError(f"host {written!r} has a port: write the host without its port")
    name = host.removeprefix("*.")
    if not name or "*" in name or "/" in name:
        raise PluginError(f"host {written!r} is neither a name nor *.suffix")
    return host


def _paths(written: object) -> tuple[str, ...]:
    paths = _texts("match paths", written)
    for path in paths:
        if not path.startswith("/") or "*" in path:
            raise PluginError(f"path {path!r} is no prefix, write one such as /admin/")
    return paths


def _texts(name: str, written: object) -> tuple[str, ...]:
    if not isinstance(written, list | tuple | set | frozenset):
        raise PluginError(f"{name} is {written!r}, give a list of texts")
    for item in written:
        if not isinstance(item, str) or not item:
            raise PluginError(f"{name} has {item!r}, give texts")
    return tuple(written)


def _kind(name: str, written: object, kind: type[T]) -> T:
    if type(written) is not kind:
        raise PluginError(f"{name} is {written!r}, give {kind.__name__}")
    return written
