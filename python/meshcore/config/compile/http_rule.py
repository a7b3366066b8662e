"""What an HTTP rule does."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from meshcore.config import resources
from meshcore.config.addresses import full_name
from meshcore.config.compile.retries import retries_of
from meshcore.config.models.http_action import GRPC_STATUSES, DirectResponse, Fault, HttpRedirect
from meshcore.config.models.virtual_service import (
    Destination,
    HeaderOperations,
    Headers,
    HttpRoute,
    RouteDestination,
)

AUTHORITY_NAMES = frozenset({":authority", "host"})
"""Header fields whose change is a change of the authority."""
_WHOLE_PPM = 1_000_000
_WHOLE_WEIGHT = 100
_DEFAULT_REDIRECT = 301


@dataclass(frozen=True, slots=True)
class Naming:
    """Where short names of a document are looked for."""

    namespace: str
    domain: str

    def full(self, host: str) -> str:
        return full_name(host, self.namespace, self.domain)


def http_rule(written: HttpRoute, naming: Naming, default: resources.Retries) -> resources.HttpRule:
    """Returns the rule, without its line and its matches."""
    headers = written.headers or Headers()
    return {
        "name": written.name or "default",
        "line": 0,
        "matches": [],
        "action": _action(written, naming),
        "rewrite": _rewrite(written),
        "timeout_ms": written.timeout or None,
        "retries": retries_of(written.retries) if written.retries else _copied(default),
        "fault": _fault(written.fault) if written.fault else None,
        "mirrors": _mirrors(written, naming),
        "request_headers": header_edits(headers.request),
        "response_headers": header_edits(headers.response),
    }


def destinations(
    written: Sequence[RouteDestination], naming: Naming
) -> list[resources.Destination]:
    """Returns the destinations with their weights; a single one gets all."""
    made: list[resources.Destination] = []
    for item in written:
        headers = item.headers or Headers()
        destination = _destination(item.destination, naming)
        is_only = len(written) == 1
        destination["weight"] = _WHOLE_WEIGHT if is_only else item.weight or 0
        destination["request_headers"] = header_edits(headers.request)
        destination["response_headers"] = header_edits(headers.response)
        made.append(destination)
    return made


def header_edits(written: HeaderOperations | None) -> resources.HeaderEdits:
    """Returns the changes, names in lower case; the authority is not a header field here."""
    operations = written or HeaderOperations()
    return {
        "set": [(n.lower(), v) for n, v in operations.set.items() if _is_field(n)],
        "add": [(n.lower(), v) for n, v in operations.add.items() if _is_field(n)],
        "remove": [name.lower() for name in operations.remove if _is_field(name)],
    }


def authority_of(headers: Headers | None) -> str | None:
    """Returns the authority that header changes ask for; `set` wins over `add`."""
    if headers is None or headers.request is None:
        return None
    for edits in (headers.request.set, headers.request.add):
        for name, value in edits.items():
            if name.lower() in AUTHORITY_NAMES:
                return value
    return None


def body_of(response: DirectResponse) -> str | None:
    """Returns the body as text, or `None` when it is not text."""
    body = response.body
    if body is None:
        return ""
    if body.bytes is None:
        return body.string or ""
    try:
        return base64.b64decode(body.bytes, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _action(
    written: HttpRoute, naming: Naming
) -> resources.Forward | resources.RedirectAction | resources.RespondAction:
    if written.redirect is not None:
        return {"redirect": _redirect(written.redirect)}
    if written.direct_response is not None:
        response = written.direct_response
        return {"respond": {"status": response.status, "body": body_of(response) or ""}}
    return {"forward": destinations(written.route, naming)}


def _redirect(written: HttpRedirect) -> resources.Redirect:
    return {
        "status": written.redirect_code or _DEFAULT_REDIRECT,
        "path": written.uri or None,
        "prefix": written.prefix_rewrite,
        "authority": written.authority or None,
        "port": written.port,
        "default_port": written.derive_port == "FROM_PROTOCOL_DEFAULT",
        "scheme": written.scheme or None,
    }


def _rewrite(written: HttpRoute) -> resources.Rewrite | None:
    """Returns the change of path and authority; that of the rewrite wins over header changes."""
    rewrite = written.rewrite
    only = written.route[0].headers if len(written.route) == 1 else None
    authority = (rewrite.authority if rewrite else None) or (
        authority_of(written.headers) or authority_of(only)
    )
    path = rewrite.uri if rewrite else None
    searched = rewrite.uri_regex_rewrite if rewrite else None
    if not (authority or path or searched):
        return None
    regex = (searched.match, searched.rewrite) if searched else None
    return {"path": path or None, "authority": authority, "regex": regex}


def _fault(written: Fault) -> resources.Fault:
    """Returns the faults. Without a percentage they hit no request."""
    fault: resources.Fault = {"delay": None, "abort": None, "abort_grpc": None}
    if written.delay is not None and written.delay.fixed_delay is not None:
        share = written.delay.percentage.ppm() if written.delay.percentage else 0
        share = share or (written.delay.percent or 0) * 10_000
        fault["delay"] = (written.delay.fixed_delay, share)
    if written.abort is not None:
        share = written.abort.percentage.ppm() if written.abort.percentage else 0
        if written.abort.http_status is not None:
            fault["abort"] = (written.abort.http_status, share)
        if written.abort.grpc_status is not None:
            fault["abort_grpc"] = (GRPC_STATUSES.index(written.abort.grpc_status), share)
    return fault


def _mirrors(written: HttpRoute, naming: Naming) -> list[resources.Mirror]:
    """Returns where copies go. Without a percentage all requests are copied."""
    given = [(item.destination, item.percentage) for item in written.mirrors]
    if written.mirror is not None:
        given.append((written.mirror, written.mirror_percentage))
    made: list[resources.Mirror] = []
    for destination, percentage in given:
        share = percentage.ppm() if percentage is not None else _WHOLE_PPM
        if percentage is None and written.mirror is not None and written.mirror_percent is not None:
            share = written.mirror_percent * 10_000
        if share:
            made.append({"destination": _destination(destination, naming), "share_ppm": share})
    return made


def _destination(written: Destination, naming: Naming) -> resources.Destination:
    return {
        "host": naming.full(written.host),
        "subset": written.subset or None,
        "port": written.port.number if written.port else None,
        "weight": _WHOLE_WEIGHT,
        "request_headers": header_edits(None),
        "response_headers": header_edits(None),
    }


def _copied(retries: resources.Retries) -> resources.Retries:
    return {**retries, "on": list(retries["on"]), "statuses": list(retries["statuses"])}


def _is_field(name: str) -> bool:
    """Whether a name is that of a header field that may be changed."""
    return not name.startswith(":") and name.lower() not in AUTHORITY_NAMES
