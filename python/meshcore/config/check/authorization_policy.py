"""AuthorizationPolicies: whether they decide anything, and whether they can."""

from collections.abc import Iterator

from meshcore.config.check.not_applied import CODE, FieldTable
from meshcore.config.check.references import selects_nothing
from meshcore.config.check.world import World
from meshcore.config.document import Document
from meshcore.config.models.authorization_policy import AuthorizationPolicy, Rule
from meshcore.config.models.authorization_values import ENVOY_KEY
from meshcore.errors import Diagnostic, Severity

_TOKENS = "no token is verified, so that no request has one"
NOT_APPLIED = FieldTable(
    {
        "targetRef": "the policy is for gateways and waypoints",
        "targetRefs": "the policy is for gateways and waypoints",
        "rules[].from[].source.requestPrincipals": _TOKENS,
        "rules[].from[].source.notRequestPrincipals": _TOKENS,
    }
)


def check_document(document: Document[AuthorizationPolicy], world: World) -> Iterator[Diagnostic]:
    """Yields what is to say about an AuthorizationPolicy."""
    yield from NOT_APPLIED.find(document)
    yield from _action(document)
    wanted = dict(document.spec.selector.match_labels) if document.spec.selector else {}
    # The short form has services without endpoints, for clients that nobody calls.
    if not document.from_short_form:
        yield from selects_nothing(document, wanted, world, "selector")
    for index, rule in enumerate(document.spec.rules):
        yield from _principals(document, rule, index)
        yield from _conditions(document, rule, index)


def _action(document: Document[AuthorizationPolicy]) -> Iterator[Diagnostic]:
    spec = document.spec
    if spec.action == "CUSTOM":
        message = "the action CUSTOM is not supported yet, and what cannot be decided is refused"
        hint = "take the policy out, or write it with ALLOW and DENY"
        yield document.report(Severity.ERROR, CODE, message, "action", hint=hint)
    if spec.action == "AUDIT":
        message = "the action AUDIT is accepted but not applied yet: nothing is logged"
        yield document.report(Severity.WARNING, CODE, message, "action")
    if not spec.rules and spec.action == "DENY":
        message = "a DENY without rules never matches, so that nothing is denied"
        yield document.report(
            Severity.WARNING, "IST0133", message, "action", hint="add rules: [{}]"
        )
    if not spec.rules and spec.action == "ALLOW" and not document.from_short_form:
        message = "an ALLOW without rules denies everything to the workloads it selects"
        yield document.report(Severity.INFO, "IST0133", message)


def _principals(
    document: Document[AuthorizationPolicy], rule: Rule, index: int
) -> Iterator[Diagnostic]:
    for number, item in enumerate(rule.from_ or []):
        for field, values in (
            ("principals", item.source.principals),
            ("notPrincipals", item.source.not_principals),
        ):
            for place, value in enumerate(values or []):
                if value.startswith("spiffe://"):
                    path = ("rules", index, "from", number, "source", field, place)
                    hint = f"write {value.removeprefix('spiffe://')}"
                    message = "a principal is written without spiffe://, and so never matches"
                    yield document.report(Severity.WARNING, "IST0133", message, *path, hint=hint)


def _conditions(
    document: Document[AuthorizationPolicy], rule: Rule, index: int
) -> Iterator[Diagnostic]:
    for number, condition in enumerate(rule.when or []):
        path = ("rules", index, "when", number, "key")
        if ENVOY_KEY.fullmatch(condition.key):
            instead = "the rule allows nothing"
            if document.spec.action != "ALLOW":
                instead = "the condition is left out, so that the rule denies more"
            message = f"{condition.key} does not exist here: {instead}"
            yield document.report(Severity.WARNING, CODE, message, *path)
        elif condition.key.startswith("request.auth."):
            message = f"{condition.key} is accepted but not applied yet: {_TOKENS}"
            yield document.report(Severity.WARNING, CODE, message, *path)
