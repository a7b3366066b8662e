"""AuthorizationPolicy to authorization."""

from collections.abc import Iterable, Sequence

from meshcore.config import resources
from meshcore.config.compile.authorization_match import (
    condition,
    conditions_of_trust_domains,
    paths,
    texts,
)
from meshcore.config.compile.shared_fields import selector
from meshcore.config.document import Document
from meshcore.config.models.authorization_policy import AuthorizationPolicy, Operation, Rule, Source
from meshcore.config.models.authorization_values import ENVOY_KEY
from meshcore.config.resources import AuthorizationRule, Mesh

DRY_RUN = "istio.io/dry-run"


def compile_document(document: Document[AuthorizationPolicy], mesh: Mesh) -> None:
    """Adds the policy. AUDIT decides nothing; CUSTOM, which `check` refuses, denies.

    With `targetRefs` it is for gateways and waypoints alone.
    """
    spec = document.spec
    if spec.action == "AUDIT" or spec.target_ref or spec.target_refs:
        return
    is_allow = spec.action == "ALLOW"
    mesh["authorizations"].append(
        {
            "origin": document.origin(),
            "selector": selector(spec.selector),
            "action": "allow" if is_allow else "deny",
            "dry_run": document.metadata.annotations.get(DRY_RUN, "").lower() == "true",
            "rules": [
                compiled
                for index, rule in enumerate(spec.rules)
                for compiled in _rules(document, rule, index, is_allow=is_allow)
            ],
        }
    )


def _rules(
    document: Document[AuthorizationPolicy], rule: Rule, index: int, *, is_allow: bool
) -> Iterable[AuthorizationRule]:
    """Yields the rule; one for each source that asks for a trust domain, which is a condition.

    A condition on what does not exist here (Envoy's metadata) never allows, and never keeps a
    denial from holding.
    """
    unknown = [c for c in rule.when or [] if ENVOY_KEY.fullmatch(c.key)]
    if unknown and is_allow:
        return
    when = [condition(c, document.namespace) for c in rule.when or [] if c not in unknown]
    sources = [item.source for item in rule.from_ or []]
    special = [s for s in sources if s.trust_domains or s.not_trust_domains]
    plain = [s for s in sources if s not in special]
    made: AuthorizationRule = {
        "line": document.line("rules", index),
        "from": [_peer(source, document.namespace) for source in plain],
        "to": [_operation(item.operation) for item in rule.to or []],
        "when": when,
    }
    if plain or not special:
        yield made
    for source in special:
        peer = _peer(source, document.namespace)
        yield {**made, "from": [peer], "when": [*when, *conditions_of_trust_domains(source)]}


def _peer(source: Source, namespace: str) -> resources.Peer:
    return {
        "principals": texts(source.principals, source.not_principals),
        "request_principals": texts(source.request_principals, source.not_request_principals),
        "namespaces": texts(source.namespaces, source.not_namespaces),
        "service_accounts": {
            "any": _accounts(source.service_accounts, namespace),
            "none": _accounts(source.not_service_accounts, namespace),
        },
        "ip_blocks": _blocks(source.ip_blocks, source.not_ip_blocks),
        "remote_ip_blocks": _blocks(source.remote_ip_blocks, source.not_remote_ip_blocks),
    }


def _operation(operation: Operation) -> resources.Operation:
    return {
        "hosts": texts(operation.hosts, operation.not_hosts),
        "ports": {
            "any": [int(port) for port in operation.ports or []],
            "none": [int(port) for port in operation.not_ports or []],
        },
        "methods": texts(operation.methods, operation.not_methods),
        "paths": {"any": paths(operation.paths), "none": paths(operation.not_paths)},
    }


def _accounts(written: Sequence[str] | None, namespace: str) -> list[resources.ServiceAccount]:
    accounts: list[resources.ServiceAccount] = []
    for account in written or []:
        given, _, name = account.rpartition("/")
        accounts.append({"namespace": given or namespace, "name": name})
    return accounts


def _blocks(some: Sequence[str] | None, none: Sequence[str] | None) -> resources.BlockMatchers:
    return {"any": list(some or []), "none": list(none or [])}
