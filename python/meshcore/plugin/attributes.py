"""The words that say what a hook reads, as `reads=` takes them."""

import re

from meshcore.errors import PluginError

# Attributes without a parameter, and their names in the mesh model. Source: Envoy's attributes.
PLAIN = {
    "request.method": "method",
    "request.path": "path",
    "request.query": "query",
    "request.host": "host",
    "request.scheme": "scheme",
    "request.protocol": "protocol",
    "source.principal": "source_principal",
    "source.namespace": "source_namespace",
    "source.ip": "source_ip",
    "destination.port": "destination_port",
    "connection.mtls": "mtls",
    "route.name": "route_name",
    "response.code": "response_code",
}

# Attributes that name a header, and their names in the mesh model.
_HEADERS = {"request": "header", "response": "response_header"}

# Headers that carry secrets, and are of another value for each caller.
SECRETS = frozenset({"authorization", "cookie", "proxy-authorization"})

_HEADER = re.compile(r"(request|response)\.headers\[([^\]]*)\]")
# Source: RFC 9110 section 5.6.2, `token`.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-zA-Z-]+")


def attribute(name: str) -> str | dict[str, str]:
    """Returns an attribute as the mesh model writes it.

    Raises:
        PluginError: The name is not in the vocabulary.
    """
    plain = PLAIN.get(name)
    if plain is not None:
        return plain
    found = _HEADER.fullmatch(name)
    if found and found[2].lower() == "host" and found[1] == "request":
        raise PluginError(f"{name} is the authority of HTTP/2 as well, write request.host")
    if found and _TOKEN.fullmatch(found[2]):
        return {_HEADERS[found[1]]: found[2].lower()}
    raise PluginError(f"unknown attribute {name!r} in reads, {_suggest(name)}")


def canonical(name: str) -> str:
    """Returns the name with its header in lower case.

    Raises:
        PluginError: The name is not in the vocabulary.
    """
    known = attribute(name)
    if isinstance(known, str):
        return name
    (kind, header), *_ = known.items()
    side = "request" if kind == "header" else "response"
    return f"{side}.headers[{header}]"


def header_of(name: str) -> str | None:
    """Returns the header that an attribute names, in lower case; `None` if it names none."""
    found = _HEADER.fullmatch(name)
    return found[2].lower() if found else None


def is_token(name: str) -> bool:
    """Whether a text can be the name of a header."""
    return _TOKEN.fullmatch(name) is not None


def _suggest(name: str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only for a mistake

    candidates = [*PLAIN, "request.headers[NAME]", "response.headers[NAME]"]
    if name.startswith(("request.head", "response.head")):
        return f"write {name.partition('.')[0]}.headers[NAME]"
    near = get_close_matches(name, candidates, n=1)
    if near:
        return f"did you mean {near[0]!r}"
    return "known are " + ", ".join(candidates)
