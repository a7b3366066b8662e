"""Public documents: each is accepted or refused as it is marked."""

import re
from pathlib import Path

import pytest
import yaml

from meshcore.config import Source, compile_mesh
from meshcore.config.models import kind_named
from meshcore.errors import Severity

KINDS = {
    "Service", "ServiceEntry", "WorkloadEntry", "VirtualService", "DestinationRule",
    "PeerAuthentication", "AuthorizationPolicy", "WorkloadGroup",
}  # fmt: skip
VALIDATED = ("authz", "destinationrule", "peerauth", "serviceentry", "workloadentry",
             "workloadgroup")  # fmt: skip


def test_every_kind_is_known():
    assert all(kind_named(kind) for kind in KINDS)
    assert kind_named("Base") is None
    assert kind_named("os") is None


def documents_of(path: Path) -> list[str]:
    text = path.read_text()
    return [part for part in re.split(r"^---\s*$", text, flags=re.MULTILINE) if part.strip()]


@pytest.mark.parametrize("name", VALIDATED)
def test_valid_documents_are_accepted(cases, name):
    path = cases / "api-validation" / f"{name}-valid.yaml"
    whole = compile_mesh([Source(str(path), path.read_text())], 1)
    assert whole.mesh is not None, [d.render() for d in whole.diagnostics]
    for part in documents_of(path):
        result = compile_mesh([Source(str(path), part)], 1)
        assert result.mesh is not None, [d.render() for d in result.diagnostics]


@pytest.mark.parametrize("name", VALIDATED)
def test_invalid_documents_are_refused_for_the_reason_given(cases, name):
    path = cases / "api-validation" / f"{name}-invalid.yaml"
    for part in documents_of(path):
        data = yaml.safe_load(part)
        if data is None:
            continue
        reason = data.pop("_err")
        result = compile_mesh([Source(str(path), yaml.safe_dump(data))], 1)
        assert result.mesh is None, part
        found = " ".join(d.message for d in result.diagnostics if d.is_refusal)
        if ": " not in reason or "Unsupported" in reason:
            assert reason in found.replace(": in body", " in body")


def test_samples_of_covered_kinds_load_without_error(cases):
    seen = 0
    paths = sorted((cases / "istio-samples").rglob("*.yaml"))
    for path in paths:
        text = path.read_text()
        kinds = set(re.findall(r"^kind: (\w+)$", text, flags=re.MULTILINE))
        if not kinds & KINDS or "templates" in path.parts:
            continue
        seen += 1
        sources = [Source(str(path), text)]
        if "subset:" in text and "DestinationRule" not in kinds:  # with what defines them
            beside = [p for p in paths if p.parent == path.parent]
            texts = {str(p): p.read_text() for p in beside}
            sources += [Source(p, t) for p, t in texts.items() if "kind: DestinationRule" in t]
        result = compile_mesh(sources, 1)
        errors = [d.render() for d in result.diagnostics if d.severity is Severity.ERROR]
        assert result.mesh is not None, errors
        assert not errors
    assert seen > 50


def test_authorization_cases_load(cases):
    for path in sorted((cases / "authz-rbac").rglob("*-in.yaml")):
        text = path.read_text()
        result = compile_mesh([Source(str(path), text)], 1)
        errors = [d for d in result.diagnostics if d.is_refusal]
        if "action: CUSTOM" in text:
            assert result.mesh is None
            assert all("CUSTOM" in d.message for d in errors)
        else:
            assert result.mesh is not None, [d.render() for d in errors]
