"""The small matches inside a policy. Source: Istio's authorization matchers (pilot/security)."""

import re
from collections.abc import Sequence

from meshcore.config.models.authorization_policy import Condition, Source
from meshcore.config.models.authorization_values import (
    CLAIM_KEY,
    HEADER_KEY,
    PLAIN_KEYS,
    is_template,
)
from meshcore.config.resources import Condition as Resource
from meshcore.config.resources import StringMatch, TextMatchers

_EXACT_KEYS = frozenset({"source.ip", "remote.ip", "destination.ip", "destination.port"})
_TRUST_DOMAIN = "source.trustDomain"
_SERVICE_ACCOUNT = "source.serviceAccount"


def text_match(value: str) -> StringMatch:
    """Returns how `value` is compared: `*` is presence, at an end it opens that end."""
    if value == "*":
        return "present"
    if value.startswith("*"):
        return {"suffix": value[1:]}
    if value.endswith("*"):
        return {"prefix": value[:-1]}
    return {"exact": value}


def texts(some: Sequence[str] | None, none: Sequence[str] | None) -> TextMatchers:
    """Returns matches of which one must hold, and matches of which none may."""
    return {
        "any": [text_match(value) for value in some or []],
        "none": [text_match(value) for value in none or []],
    }


def paths(written: Sequence[str] | None) -> list[StringMatch]:
    """Returns matches on paths, of which some may be templates."""
    return [{"template": path} if is_template(path) else text_match(path) for path in written or []]


def condition(written: Condition, namespace: str) -> Resource:
    """Returns a further condition; short names of accounts are of `namespace`."""
    if written.key == _TRUST_DOMAIN:
        return _trust_domain_condition(written.values, written.not_values)
    some, none = list(written.values or []), list(written.not_values or [])
    if written.key == _SERVICE_ACCOUNT:
        some = [a if "/" in a else f"{namespace}/{a}" for a in some]
        none = [a if "/" in a else f"{namespace}/{a}" for a in none]
    values = texts(some, none)
    if written.key in {*_EXACT_KEYS, _SERVICE_ACCOUNT}:
        values = _exactly(some, none)
    return {"key": _key(written.key), "values": values}


def conditions_of_trust_domains(source: Source) -> list[Resource]:
    """Returns what a source's trust domains ask of the principal."""
    return [_trust_domain_condition(source.trust_domains, source.not_trust_domains)]


def _exactly(some: Sequence[str], none: Sequence[str]) -> TextMatchers:
    return {"any": [{"exact": v} for v in some], "none": [{"exact": v} for v in none]}


def _key(key: str) -> str | dict[str, str] | dict[str, list[str]]:
    header = HEADER_KEY.fullmatch(key)
    if header:
        return {"request_header": header[1].lower()}
    claim = CLAIM_KEY.fullmatch(key)
    if claim:
        return {"request_claim": re.findall(r"\[([^\[\]]+)\]", claim[1])}
    return PLAIN_KEYS[key]


def _trust_domain_condition(some: Sequence[str] | None, none: Sequence[str] | None) -> Resource:
    return {
        "key": "source_principal",
        "values": {
            "any": [_of_trust_domain(value) for value in some or []],
            "none": [_of_trust_domain(value) for value in none or []],
        },
    }


def _of_trust_domain(value: str) -> StringMatch:
    """Returns the match on a principal (`<trust domain>/ns/...`) that asks for a trust domain."""
    if value == "*":
        return "present"
    if value.startswith("*"):
        return {"regex": f"[^/]*{re.escape(value[1:])}/ns/.*"}
    return {"prefix": value[:-1] if value.endswith("*") else f"{value}/ns/"}
