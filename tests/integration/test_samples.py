"""The configuration of Istio's public tutorials: what is of kinds that we cover, loads."""

import json
from pathlib import Path

import pytest
import yaml
from tests.integration.conftest import CASES

from meshcore.config import compile_mesh
from meshcore.errors import Severity
from meshcore.sources.file import read

SAMPLES = (CASES if CASES.is_absolute() else Path(__file__).parents[2] / CASES) / "istio-samples"
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
def samples():
    if not SAMPLES.is_dir():
        pytest.skip(f"{CASES} is not there: set MESHCORE_CASES")
    found = {path: list(documents(path)) for path in sorted(SAMPLES.rglob("*.yaml"))}
    return {path: there for path, there in found.items() if there}


def test_the_samples_are_found(samples):
    kinds = {document["kind"] for there in samples.values() for document in there}
    assert kinds >= {"VirtualService", "DestinationRule", "ServiceEntry", "Service"}


def test_each_document_loads(samples, tmp_path):
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
            faults[str(path.relative_to(SAMPLES))] = wrong
    assert faults == {}


def test_analyze_says_the_same(samples, shared):
    """By the command, once; what it takes to start is not needed for each file."""
    name = "bookinfo/networking/virtual-service-reviews-test-v2.yaml"
    rules = SAMPLES / "bookinfo/networking/destination-rule-all.yaml"
    assert SAMPLES / name in samples
    done = shared.meshcore("analyze", SAMPLES / name, rules, "-o", "json")
    codes = {one["code"] for one in json.loads(done.stdout) if one["severity"] == "error"}
    assert codes <= {ELSEWHERE}
    assert done.returncode == (79 if codes else 0)
