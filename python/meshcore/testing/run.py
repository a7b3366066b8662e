"""Runs hooks as the data plane does: what they may read, what they may return, what else is."""

import asyncio
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from meshcore.errors import PluginError
from meshcore.plugin.attributes import PLAIN
from meshcore.plugin.decisions import Abstain, Allow, Decision, Deny, Modify, RouteTo
from meshcore.plugin.hooks import HookSpec, specs_of
from meshcore.plugin.options import Stage
from meshcore.plugin.registry import load
from meshcore.testing.messages import Facts, TestRequest, TestResponse

# Status of a request whose hook gave no decision, and is to be refused then.
_UNDECIDED = 503
# What the data plane takes as a decision of each stage; `None` beside them but for authorize.
_DECISIONS: dict[Stage, tuple[type, ...]] = {
    Stage.AUTHORIZE: (Allow, Deny, Abstain),
    Stage.ROUTE: (RouteTo, Abstain),
    Stage.ON_REQUEST: (Modify, Allow, Deny, Abstain),
    Stage.ON_RESPONSE: (Modify, Abstain),
}
# Put in place of attributes that a hook does not declare, to see that they do not matter.
_OTHERS = ("", "0", "other", "spiffe://other/ns/other/sa/other")

AnyHook = Callable[..., object]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request."""

    decision: object
    """What the hook decided, or what stands for it when it gave no decision."""
    error: BaseException | None = None
    """What the hook raised, or what was wrong with its answer."""

    @property
    def allowed(self) -> bool:
        """Whether the request goes on."""
        return not isinstance(self.decision, Deny)

    @property
    def abstained(self) -> bool:
        """Whether others decide."""
        return self.decision is None or isinstance(self.decision, Abstain)

    @property
    def status(self) -> int:
        """Status of a refusal; 200 if the request goes on."""
        return self.decision.status if isinstance(self.decision, Deny) else 200

    @property
    def reason(self) -> str:
        """Why it was refused, or sent elsewhere."""
        return self.decision.reason if isinstance(self.decision, Deny | RouteTo) else ""

    @property
    def code(self) -> str:
        """The policy's code for the refusal."""
        return self.decision.code if isinstance(self.decision, Deny) else ""

    @property
    def set_headers(self) -> dict[str, str]:
        """Header fields that the hook set, in lower case."""
        edits = self.decision
        return dict(edits.set_headers) if isinstance(edits, Allow | Modify) else {}

    @property
    def remove_headers(self) -> tuple[str, ...]:
        """Header fields that the hook removed, in lower case."""
        return self.decision.remove_headers if isinstance(self.decision, Allow | Modify) else ()


class PluginTest:
    """A plugin file, loaded as the data plane loads it."""

    __test__ = False

    def __init__(self, path: str) -> None:
        """Loads the file.

        Raises:
            PluginRejected: It cannot be loaded.
        """
        self.plugin = load(path)

    def authorize(self, request: TestRequest) -> Outcome:
        """Returns what the plugin's `@authorize` hooks decide together."""
        return self._first(Stage.AUTHORIZE, request)

    def route(self, request: TestRequest) -> Outcome:
        """Returns where the plugin's `@route` hooks send a request."""
        return self._first(Stage.ROUTE, request)

    def on_request(self, request: TestRequest) -> list[Outcome]:
        """Returns what each `@on_request` hook does with a request."""
        return [_run(spec, request) for spec in self._specs(Stage.ON_REQUEST, request)]

    def on_response(self, request: TestRequest, response: TestResponse) -> list[Outcome]:
        """Returns what each `@on_response` hook does with a response."""
        specs = self._specs(Stage.ON_RESPONSE, request)
        return [_run(spec, request, response) for spec in specs]

    def assert_cache_sound(self, *samples: TestRequest) -> None:
        """Checks every hook that caches, as `assert_cache_sound` does."""
        for hook in self.plugin.hooks:
            if hook.spec.options.cache_ms:
                _assert_sound(hook.spec, samples)

    def _first(self, stage: Stage, request: TestRequest) -> Outcome:
        """The first refusal or destination; edits of those that allow add up."""
        allowed = Outcome(None)
        for spec in self._specs(stage, request):
            outcome = _run(spec, request)
            if isinstance(outcome.decision, Deny | RouteTo):
                return outcome
            if not outcome.abstained:
                headers = {**allowed.set_headers, **outcome.set_headers}
                removed = (*allowed.remove_headers, *outcome.remove_headers)
                allowed = Outcome(Allow(headers, removed), outcome.error)
        return allowed

    def _specs(self, stage: Stage, request: TestRequest) -> list[HookSpec]:
        specs = (hook.spec for hook in self.plugin.hooks)
        return [spec for spec in specs if spec.stage is stage and _meets(spec, request)]


def run_authorize(hook: AnyHook, request: TestRequest) -> Outcome:
    """Runs one `@authorize` hook, whatever its `match`.

    Raises:
        PluginError: The function is no such hook.
    """
    return _run(_spec(hook, Stage.AUTHORIZE), request)


def run_route(hook: AnyHook, request: TestRequest) -> Outcome:
    """Runs one `@route` hook, as `run_authorize` does."""
    return _run(_spec(hook, Stage.ROUTE), request)


def run_request(hook: AnyHook, request: TestRequest) -> Outcome:
    """Runs one `@on_request` hook, as `run_authorize` does."""
    return _run(_spec(hook, Stage.ON_REQUEST), request)


def run_response(hook: AnyHook, request: TestRequest, response: TestResponse) -> Outcome:
    """Runs one `@on_response` hook, as `run_authorize` does."""
    return _run(_spec(hook, Stage.ON_RESPONSE), request, response)


def assert_cache_sound(hook: AnyHook, samples: Iterable[TestRequest]) -> None:
    """Checks that a hook decides by what it declares, and by nothing that changes meanwhile.

    Each sample is asked twice, and again with other values of all that is not declared.

    Raises:
        PluginError: The function is no hook, or declares nothing.
        AssertionError: Two requests that are equal to the cache got different decisions.
    """
    specs = specs_of(hook)
    if not specs:
        raise PluginError(f"{hook!r} is no hook, decorate it")
    for spec in specs:
        _assert_sound(spec, samples)


def _assert_sound(spec: HookSpec, samples: Iterable[TestRequest]) -> None:
    reads = spec.options.reads
    if reads is None:
        raise PluginError(f"{spec.name} declares no reads, so nothing of it can be remembered")
    for sample in samples:
        first = _run(spec, sample)
        for other in _variants(sample, reads):
            again = _run(spec, other)
            if (again.decision, type(again.error)) != (first.decision, type(first.error)):
                key = {name: sample.facts.values.get(name) for name in reads}
                raise AssertionError(
                    f"{spec.name} ({spec.origin}) decided {first.decision!r} and"
                    f" {again.decision!r} for the same {key}: it depends on more than it declares"
                )


def _variants(sample: TestRequest, reads: tuple[str, ...]) -> Iterable[TestRequest]:
    yield sample
    names = dict.fromkeys([*sample.facts.values, *PLAIN])
    for value in _OTHERS:
        others = {name: value for name in names if name not in reads}
        yield TestRequest(Facts({**sample.facts.values, **others}))


def _run(spec: HookSpec, request: TestRequest, response: TestResponse | None = None) -> Outcome:
    shown = request.facts.seen_by(spec)
    # A hook of the response stage sees both as one set of attributes.
    answer = response.facts.seen_by(spec) if response else None
    try:
        if answer is None:
            returned = spec.function(TestRequest(shown))
        else:
            returned = spec.function(TestRequest(shown), TestResponse(answer))
        if spec.is_async and inspect.iscoroutine(returned):
            within = spec.options.timeout_ms / 1000
            returned = asyncio.run(asyncio.wait_for(returned, within))
    except BaseException as error:  # noqa: BLE001 - the data plane survives these as well
        return _declared(spec, error)
    finally:
        shown.forget()
        if answer is not None:
            answer.forget()
    is_nothing = returned is None and spec.stage is not Stage.AUTHORIZE
    if is_nothing or type(returned) in _DECISIONS[spec.stage]:
        return Outcome(returned)
    return _declared(spec, PluginError(f"{spec.name} returned {returned!r}, which is no decision"))


def _declared(spec: HookSpec, error: BaseException) -> Outcome:
    """The answer of `on_error`."""
    answers: dict[str, Decision | None] = {"deny": Deny(_UNDECIDED), "allow": Allow()}
    return Outcome(answers.get(spec.options.on_error), error)


def _spec(hook: AnyHook, stage: Stage) -> HookSpec:
    for spec in specs_of(hook):
        if spec.stage is stage:
            return spec
    raise PluginError(f"{hook!r} is no hook, decorate it with @{stage}")


def _meets(spec: HookSpec, request: TestRequest) -> bool:
    options, values = spec.options, request.facts.values
    host = _without_port(values["request.host"] or "")
    path = values["request.path"] or ""
    return (
        (not options.methods or values["request.method"] in options.methods)
        and (not options.paths or path.startswith(options.paths))
        and (not options.hosts or any(_is_host(host, wanted) for wanted in options.hosts))
    )


def _without_port(authority: str) -> str:
    """Returns the host as the data plane compares it: in lower case, no dot at the end."""
    address, bracket, _ = authority.partition("]")
    host = address + bracket if bracket else authority.partition(":")[0]
    return host.lower().removesuffix(".")


def _is_host(host: str, wanted: str) -> bool:
    if wanted.startswith("*."):
        return host.endswith(wanted[1:])
    return host == wanted
