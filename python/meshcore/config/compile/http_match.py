"""The conditions of an HTTP rule."""

from collections.abc import Iterable, Mapping

from meshcore.config.compile.shared_fields import string_match
from meshcore.config.models.base import StringMatch
from meshcore.config.models.virtual_service import HttpMatch
from meshcore.config.resources import HttpMatch as Resource
from meshcore.config.resources import PathMatch, ValueMatch

# Names that are matched by fields of their own. Source: Istio's VirtualService.
IGNORED_HEADERS = frozenset({"uri", "scheme", "method", "authority"})
# Begins a match on a claim of a token rather than on a header field.
CLAIM = "@request.auth.claims"


def http_matches(written: Iterable[HttpMatch], namespace: str) -> list[Resource]:
    """Returns the matches that can be decided: one on a token's claims cannot."""
    return [_match(item, namespace) for item in written if not asks_claims(item)]


def asks_claims(match: HttpMatch) -> bool:
    """Whether a match asks for a claim of a token."""
    return any(name.startswith(CLAIM) for name in (*match.headers, *match.without_headers))


def _match(written: HttpMatch, namespace: str) -> Resource:
    return {
        "name": written.name,
        "path": _path(written.uri),
        "ignore_path_case": written.ignore_uri_case,
        "scheme": string_match(written.scheme) if written.scheme else None,
        "method": string_match(written.method) if written.method else None,
        "authority": string_match(written.authority) if written.authority else None,
        "headers": _headers(written.headers),
        "without_headers": _headers(written.without_headers),
        "query": [
            {"name": name, "value": string_match(value)}
            for name, value in written.query_params.items()
        ],
        "port": written.port,
        "source_labels": dict(written.source_labels),
        "source_namespace": written.source_namespace,
        "gateways": [
            name if name == "mesh" or "/" in name else f"{namespace}/{name}"
            for name in written.gateways
        ],
    }


def _path(written: StringMatch | None) -> PathMatch | None:
    """Returns the match on the path; every request has one, so that presence is no condition."""
    if written is None:
        return None
    match = string_match(written)
    return match if isinstance(match, dict) else None


def _headers(written: Mapping[str, StringMatch]) -> list[ValueMatch]:
    return [
        {"name": name.lower(), "value": string_match(value)}
        for name, value in written.items()
        if name.lower() not in IGNORED_HEADERS
    ]
