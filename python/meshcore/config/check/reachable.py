"""Rules that can never match, because earlier ones take all of theirs."""

import json
from collections.abc import Iterator

from meshcore.config.check.world import World
from meshcore.config.document import Document
from meshcore.config.models.virtual_service import VirtualService
from meshcore.config.resources import HttpMatch, HttpRule, TcpMatch, TcpRule
from meshcore.errors import Diagnostic, Severity

UNREACHABLE = "IST0130"
INEFFECTIVE = "IST0131"


def unreachable(document: Document[VirtualService], world: World) -> Iterator[Diagnostic]:
    """Yields what says that a rule, or one of its matches, is never reached."""
    route = world.route_of(document)
    if route is not None and route["origin"] == document.origin():
        yield from _rules(document, "http", route["http"])
        by_name = [rule for rule in route["tcp"] if any(m["sni_hosts"] for m in rule["matches"])]
        yield from _rules(document, "tls", by_name)
        yield from _rules(document, "tcp", [one for one in route["tcp"] if one not in by_name])


def _rules(
    document: Document[VirtualService], field: str, rules: list[HttpRule] | list[TcpRule]
) -> Iterator[Diagnostic]:
    """Looks at the rules in their order. A rule is found by its line, since some are left out."""
    lines = {
        document.line(field, index): index
        for index in range(len(getattr(document.spec, field)) - 1, -1, -1)
    }
    catch_all: int | None = None
    seen: dict[str, int] = {}
    for rule in rules:
        index = lines.get(rule["line"], 0)
        if catch_all is not None:
            message = f"never reached: the rule {field}[{catch_all}] before it takes everything"
            yield document.report(Severity.WARNING, UNREACHABLE, message, field, index)
            continue
        keys = [_key(match) for match in rule["matches"]]
        if keys and all(key in seen for key in keys):
            message = f"never reached: the rule {field}[{seen[keys[0]]}] has the same matches"
            yield document.report(Severity.WARNING, UNREACHABLE, message, field, index)
            continue
        for number, key in enumerate(keys):
            if key in seen or key in keys[:number]:
                message = "never reached: an earlier match is the same"
                path = (field, index, "match", number)
                yield document.report(Severity.INFO, INEFFECTIVE, message, *path)
        seen |= {key: index for key in keys if key not in seen}
        if not keys or any(_takes_all(match) for match in rule["matches"]):
            catch_all = index


def _key(match: HttpMatch | TcpMatch) -> str:
    """Returns what tells matches apart; a name does not."""
    return json.dumps({**match, "name": ""}, sort_keys=True)


def _takes_all(match: HttpMatch | TcpMatch) -> bool:
    """Whether a match has no condition, or only the prefix with which every path begins."""
    path = match.get("path")
    said = {name for name, value in match.items() if value} - {"name", "path", "ignore_path_case"}
    return not said and path in (None, {"prefix": "/"}, {"regex": ".*"})
