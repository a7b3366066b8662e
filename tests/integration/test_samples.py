"""The configuration of Istio's public tutorials: what is of kinds that we cover, loads."""

import json

import pytest
import yaml

from meshcore.config import compile_mesh
from meshcore.errors import Severity
from meshcore.sources.file import read

KINDS = {
    "VirtualService", "DestinationRule", "ServiceEntry", "WorkloadEntry", "AuthorizationPolicy",
    "PeerAuthentication",
}  # fmt: skip
OURS = {"networking.istio.io", "security.istio.io"}
# Findings that are about what a sample refers to and does not bring, which a cluster has.
ELSEWHERE = "IST0101"


def documents(path):
    """Yields the documents of kinds that we cover, and Kubernetes' services."""
    try:
        found = list(yaml.load_all(path.read_text(), yaml.CSafeLoader))
    except yaml.YAMLError:
        return  # a template
    for document in found:
        if not isinstance(document, dict):
            continue
        group = str(document.get("apiVersion", "")).partition("/")[0]
        kind = document.get("kind")
        if (group in OURS and kind in KINDS) or (group == "v1" and kind == "Service"):
            yield document


@pytest.fixture(scope="module")
def samples(cases):
    files = sorted((cases / "istio-samples").rglob("*.yaml"))
    found = {path: list(documents(path)) for path in files}
    return {path: there for path, there in found.items() if there}


def test_the_samples_are_found(samples):
    kinds = {document["kind"] for there in samples.values() for document in there}
    assert kinds >= {"VirtualService", "DestinationRule", "ServiceEntry", "Service"}


def test_each_document_loads(samples, cases, tmp_path):
    faults = {}
    for number, (path, there) in enumerate(samples.items()):
        copy = tmp_path / f"{number}.yaml"
        copy.write_text(yaml.dump_all(there, Dumper=yaml.CSafeDumper))
        wrong = [
            found.render()
            for found in compile_mesh(read([copy]), revision=1).diagnostics
            if found.severity is Severity.ERROR and found.code != ELSEWHERE
        ]
        if wrong:
            faults[str(path.relative_to(cases))] = wrong
    assert faults == {}


def test_analyze_says_the_same(samples, cases, shared):
    """By the command, once; what it takes to start is not needed for each file."""
    networking = cases / "istio-samples/bookinfo/networking"
    routes = networking / "virtual-service-reviews-test-v2.yaml"
    rules = networking / "destination-rule-all.yaml"
    assert routes in samples
    done = shared.meshcore("analyze", routes, rules, "-o", "json")
    codes = {one["code"] for one in json.loads(done.stdout) if one["severity"] == "error"}
    assert codes <= {ELSEWHERE}
    assert done.returncode == (79 if codes else 0)
