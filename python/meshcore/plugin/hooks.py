"""The decorators that make a function a hook."""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar, Unpack, cast, overload

from meshcore.errors import PluginError
from meshcore.plugin.attributes import attribute
from meshcore.plugin.decisions import Abstain, Decision, Modify, RouteTo
from meshcore.plugin.options import (
    AuthorizeOptions,
    Options,
    RouteOptions,
    Stage,
    TelemetryOptions,
    check,
)
from meshcore.plugin.request import Record, Request, Response

# Where a decorator leaves what it was told, on the function itself.
MARK = "__meshcore_hooks__"

AuthorizeHook: TypeAlias = Callable[[Request], Decision | Awaitable[Decision]]
RouteHook: TypeAlias = Callable[
    [Request], RouteTo | Abstain | Awaitable[RouteTo | Abstain | None] | None
]
RequestHook: TypeAlias = Callable[
    [Request], Modify | Decision | Awaitable[Modify | Decision | None] | None
]
ResponseHook: TypeAlias = Callable[[Request, Response], Modify | Awaitable[Modify | None] | None]
TelemetryHook: TypeAlias = Callable[[list[Record]], Awaitable[None] | None]

A = TypeVar("A", bound=AuthorizeHook)
R = TypeVar("R", bound=RouteHook)
Q = TypeVar("Q", bound=RequestHook)
S = TypeVar("S", bound=ResponseHook)
T = TypeVar("T", bound=TelemetryHook)
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class HookSpec:
    """A function and what its decorator was told."""

    stage: Stage
    options: Options
    function: Callable[..., object]
    is_async: bool
    origin: str
    """`file:line` of the function."""

    @property
    def name(self) -> str:
        """Name of the function."""
        return self.function.__name__

    def to_model(self, hook_id: int, plugin: str) -> dict[str, object]:
        """Returns the hook as the mesh model writes it, ready for JSON."""
        options = self.options
        mode = "queued" if options.is_blocking or self.stage is Stage.TELEMETRY else "inline"
        reads = options.reads
        return {
            "id": hook_id,
            "name": f"{plugin}.{self.name}",
            "origin": self.origin,
            "stage": str(self.stage),
            "hosts": list(options.hosts),
            "path_prefixes": list(options.paths),
            "methods": list(options.methods),
            "reads": None if reads is None else [attribute(name) for name in reads],
            "cache_ms": options.cache_ms,
            "timeout_ms": options.timeout_ms,
            "on_error": options.on_error,
            "mode": "async" if self.is_async else mode,
        }


@overload
def authorize(function: A, /) -> A: ...
@overload
def authorize(**options: Unpack[AuthorizeOptions]) -> Callable[[A], A]: ...
def authorize(function: A | None = None, /, **options: object) -> A | Callable[[A], A]:
    """Makes a function decide whether a request is let in, after the declared policies did.

    It returns `allow()`, `deny()` or `abstain()`. When it raises, is late or returns anything
    else, the request is refused with 503.

    Raises:
        PluginError: An option or the function's signature is wrong.
    """
    return _decorate(Stage.AUTHORIZE, function, options)


@overload
def route(function: R, /) -> R: ...
@overload
def route(**options: Unpack[RouteOptions]) -> Callable[[R], R]: ...
def route(function: R | None = None, /, **options: object) -> R | Callable[[R], R]:
    """Makes a function choose where a request is sent.

    It returns `RouteTo(...)`, or `None` to leave it to the next hook and the declared routes.

    Raises:
        PluginError: An option or the function's signature is wrong.
    """
    return _decorate(Stage.ROUTE, function, options)


@overload
def on_request(function: Q, /) -> Q: ...
@overload
def on_request(**options: Unpack[RouteOptions]) -> Callable[[Q], Q]: ...
def on_request(function: Q | None = None, /, **options: object) -> Q | Callable[[Q], Q]:
    """Makes a function change requests before they are forwarded.

    It returns `Modify(...)`, `None` to change nothing, or `deny()`.

    Raises:
        PluginError: An option or the function's signature is wrong.
    """
    return _decorate(Stage.ON_REQUEST, function, options)


@overload
def on_response(function: S, /) -> S: ...
@overload
def on_response(**options: Unpack[RouteOptions]) -> Callable[[S], S]: ...
def on_response(function: S | None = None, /, **options: object) -> S | Callable[[S], S]:
    """Makes a function change responses before they are sent back.

    It returns `Modify(...)`, or `None` to change nothing.

    Raises:
        PluginError: An option or the function's signature is wrong.
    """
    return _decorate(Stage.ON_RESPONSE, function, options)


@overload
def telemetry(function: T, /) -> T: ...
@overload
def telemetry(**options: Unpack[TelemetryOptions]) -> Callable[[T], T]: ...
def telemetry(function: T | None = None, /, **options: object) -> T | Callable[[T], T]:
    """Makes a function see finished requests, in batches, while no request waits for it.

    Raises:
        PluginError: An option or the function's signature is wrong.
    """
    return _decorate(Stage.TELEMETRY, function, options)


def specs_of(function: object) -> tuple[HookSpec, ...]:
    """Returns what decorators left on a function; nothing for other objects."""
    found = getattr(function, MARK, ()) if inspect.isfunction(function) else ()
    return cast("tuple[HookSpec, ...]", found)


def _decorate(stage: Stage, function: F | None, options: dict[str, object]) -> F | Callable[[F], F]:
    if function is None:
        return lambda later: _mark(stage, later, options)
    return _mark(stage, function, options)


def _mark(stage: Stage, function: F, options: dict[str, object]) -> F:
    if not inspect.isfunction(function):
        raise PluginError(f"@{stage} goes on a function, not on {function!r}")
    code = function.__code__
    origin = f"{code.co_filename}:{code.co_firstlineno}"
    try:
        is_async = _check_function(stage, function)
        checked = check(stage, options, is_async=is_async)
    except PluginError as error:
        raise PluginError(f"{origin}: {function.__name__}: {error}") from error
    spec = HookSpec(stage, checked, function, is_async, origin)
    setattr(function, MARK, (*specs_of(function), spec))
    return cast("F", function)


def _check_function(stage: Stage, function: Callable[..., object]) -> bool:
    """Returns whether the function is a coroutine's."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise PluginError("a hook returns one decision, write return instead of yield")
    parameters = stage.parameters
    try:
        inspect.signature(function).bind(*parameters)
    except TypeError as error:
        wanted = f"def {function.__name__}({', '.join(parameters)})"
        raise PluginError(f"wrong signature ({error}), write {wanted}") from error
    return inspect.iscoroutinefunction(function)
