"""Services in the short form: what is written, and what others leave to each."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from meshcore.config.addresses import is_dns_label
from meshcore.config.findings import Findings
from meshcore.config.models.short_form import ShortService as Spec
from meshcore.config.nodes import Items, Mapping, Node, Scalar, entry, text
from meshcore.config.source import Source
from meshcore.config.suggest import MAX_HINTS, did_you_mean, nearest
from meshcore.config.validate import validate
from meshcore.errors import Diagnostic, Severity

SHORT_FORM_KEYS = ("services", "mesh")
_KEYS = [*SHORT_FORM_KEYS, "namespace"]

Place: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ShortForm:
    """A document in the short form."""

    source: Source
    node: Mapping


@dataclass(frozen=True, slots=True)
class ShortService:
    """A service on its way to documents."""

    name: str
    namespace: str
    spec: Spec
    node: Mapping
    place: Place
    source: Source

    def key(self, name: str) -> Place:
        """Returns where the field `name` stands, or the service itself."""
        return self.node.places.get(name, self.place)

    def value(self, name: str) -> Node | None:
        return self.node.entries.get(name)


@dataclass(frozen=True, slots=True)
class Placed:
    """A service beside the others."""

    service: ShortService
    workloads: tuple[str, ...]
    """Names of its workloads that no other one has, in their order."""


def services_of(form: ShortForm, problems: Findings) -> Iterator[ShortService]:
    """Yields the services of one document; what is wrong is added to `problems`."""
    for key in form.node.entries:
        if key not in _KEYS:
            hint = did_you_mean(key, _KEYS)
            problems.append(
                _error(form.source, f"unknown field {key[:60]!r}", form.node.places[key], hint)
            )
    services = form.node.entries.get("services")
    if isinstance(services, Mapping):
        for name, node in services.entries.items():
            if problems.is_full:
                return
            service = _service(form, (name, services.places[name], node), problems)
            if service is not None:
                yield service
    elif services is not None and not (isinstance(services, Scalar) and services.value is None):
        message = "services: a mapping of names to services is needed"
        problems.append(_error(form.source, message, (services.line, services.column)))


def place(services: Sequence[ShortService], problems: Findings) -> Iterator[Placed]:
    """Yields each service with what others leave to it; what is wrong is added to `problems`.

    One that has the name of an earlier one is left out.
    """
    known: dict[str, dict[str, ShortService]] = {}
    first = [service for service in services if _is_new(service, known, problems)]
    searches = iter(range(MAX_HINTS))
    taken: set[tuple[str, str]] = set()
    for service in first:
        if problems.is_full:
            return
        problems += _unknown_callers(service, known[service.namespace], searches)
        yield Placed(service, tuple(_workload_names(service, taken)))


def addresses_of(service: ShortService) -> Iterator[tuple[str, str, Node]]:
    """Yields version, name of the group, and address of each workload."""
    endpoints = service.value("endpoints")
    if isinstance(endpoints, Items):
        yield from (("", service.name, node) for node in endpoints.items)
    versions = service.value("versions")
    if isinstance(versions, Mapping):
        for version, addresses in versions.entries.items():
            for node in addresses.items if isinstance(addresses, Items) else ():
                yield version, f"{service.name}-{version}", node


def _service(
    form: ShortForm, given: tuple[str, Place, Node], problems: Findings
) -> ShortService | None:
    name, place, node = given
    if not isinstance(node, Mapping):
        node = Mapping(line=place[0], column=place[1])
    spec, found = validate(node, Spec, form.source, f"service {name[:80]}", ("services", name))
    problems += found
    allowed = node.entries.get("allow")
    if isinstance(allowed, Scalar) and allowed.value is None:
        message = f"services.{name}.allow: nothing is given here, which would allow everybody"
        hint = "write [] for nobody, or remove the field"
        problems.append(_error(form.source, message, (allowed.line, allowed.column), hint))
        return None
    if not is_dns_label(name):
        message = f"{name[:60]!r} is not a service name, use lower-case letters, digits and '-'"
        problems.append(_error(form.source, message, place))
        return None
    if spec is None:
        return None
    namespace = spec.namespace or text(entry(form.node, "namespace")) or "default"
    return ShortService(name, namespace, spec, node, place, form.source)


def _is_new(
    service: ShortService, known: dict[str, dict[str, ShortService]], problems: Findings
) -> bool:
    first = known.setdefault(service.namespace, {}).setdefault(service.name, service)
    if first is service:
        return True
    message = f"the service {service.name!r} is given twice in the namespace {service.namespace!r}"
    hint = f"the first is at {first.source.name}:{first.place[0]}"
    problems.append(_error(service.source, message, service.place, hint))
    return False


def _unknown_callers(
    service: ShortService, known: dict[str, ShortService], searches: Iterator[int]
) -> Iterator[Diagnostic]:
    """Yields a warning for each caller whose name is nearly that of a service."""
    allowed = service.value("allow")
    for node in allowed.items if isinstance(allowed, Items) else []:
        caller = text(node)
        is_known = "/" in caller or caller == "*" or caller in known
        if is_known or next(searches, None) is None:
            continue
        near = _nearest(caller, frozenset(known))
        if near:
            line = node.line
            yield Diagnostic(
                severity=Severity.WARNING,
                code="MC0201",
                message=f"no service is named {caller!r}, so that only its identity may call",
                origin=f"service {service.namespace}/{service.name}",
                file=service.source.name,
                line=line,
                column=node.column,
                source_line=service.source.line(line),
                hint=f'did you mean "{near}"?',
            )


@lru_cache(maxsize=2 * MAX_HINTS)
def _nearest(caller: str, known: frozenset[str]) -> str | None:
    """Returns the name most like `caller`; kept, as most changes leave the names as they are."""
    return nearest(caller, sorted(known))


def _workload_names(service: ShortService, taken: set[tuple[str, str]]) -> Iterator[str]:
    """Yields a name for each workload: those of one version are told apart by a number."""
    listed = [group for _, group, _ in addresses_of(service)]
    sizes, numbers = Counter(listed), Counter[str]()
    for group in listed:
        numbers[group] += 1
        name = group if sizes[group] == 1 else f"{group}-{numbers[group]}"
        while (service.namespace, name) in taken:
            name += ".x"
        taken.add((service.namespace, name))
        yield name


def _error(source: Source, message: str, place: Place, hint: str = "") -> Diagnostic:
    line, column = place
    return Diagnostic(
        severity=Severity.ERROR,
        code="MC0002",
        message=message,
        file=source.name,
        line=line,
        column=column,
        source_line=source.line(line),
        hint=hint,
    )
