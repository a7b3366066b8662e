"""Documents that change while requests go on: none fails, and what is wrong is refused."""

import re

import pytest
from tests.integration.harness import eventually

MESH = """
services:
  reviews:
    port: 9080
    versions: {v1: ["@11:9080"], v2: [%s]}
    split: {v1: %d, v2: %d}
    allow: [web]
  web:
    port: 8080
    endpoints: ["@21:8080"]
"""
ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: extra, namespace: default}
spec:
  hosts: [extra.example]
  http:
  - name: number-%d
    match: [{uri: {prefix: /%d}}]
    route: [{destination: {host: reviews.default.svc.cluster.local, subset: v1}}]
"""
V2, BOTH = '"@12:9080"', '"@12:9080", "@13:9080"'
BAD = [
    MESH % (V2, 50, 49),
    "services: [",
    (MESH % (V2, 50, 50)).replace("split", "splits"),
    (MESH % (V2, 50, 50)).replace("allow: [web]", "allow:"),
    (MESH % (V2, 50, 50)).replace("9080:", "99999:").replace("port: 9080", "port: 99999"),
]


EDITS, ROUNDS = 30, 6


@pytest.fixture(scope="module")
def sidecars(shared):
    shared.write(MESH % (V2, 50, 50))
    for last, name in ((11, "v1"), (12, "v2"), (13, "late")):
        shared.program("application", last, 9080, name)
    return shared.sidecars(
        ("reviews", "--version", "v1"), ("reviews", "--version", "v2"), ("web",)
    )  # fmt: skip


@pytest.fixture(scope="module")
def web(sidecars):
    return sidecars[2]


def refused(sidecar):
    """Returns the number of the last change that was refused, if that is how it stands."""
    return max((one["revision"] for one in sidecar.status()["refusals"]), default=0)


def test_thirty_edits_under_load_fail_no_request(shared, web):
    load = shared.load(web, "reviews:9080")
    edits = 0
    for number in range(ROUNDS):
        revision = web.status()["revision"]
        shared.write(MESH % (V2, 90 - number, 10 + number))
        web.revision_after(revision)
        before = refused(web)
        shared.write(BAD[number % len(BAD)])
        eventually(lambda before=before: refused(web) > before)
        # Three more that nobody waits for, the second of which is wrong.
        shared.write(MESH % (V2, 10 + number, 90 - number))
        shared.write(BAD[(number + 1) % len(BAD)], "more.yaml")
        shared.write(ROUTE % (number, number), "more.yaml")
        edits += 5
    shared.write(MESH % (V2, 30, 70))
    eventually(lambda: not web.status()["refusals"])
    found = load.end_of_it()
    assert edits == EDITS
    assert found["failed"] == {}
    assert found["requests"] > 1000
    assert set(found["answered"]) == {"v1", "v2"}


def test_an_endpoint_comes_and_goes_under_load(shared, web):
    """First the documents know it, then it is there; first they forget it, then it goes."""
    revision = web.status()["revision"]
    load = shared.load(web, "reviews:9080", rate=600)
    shared.write(MESH % (BOTH, 0, 100))
    revision = web.revision_after(revision)
    late = shared.sidecar("reviews", "--address", shared.address(13))
    eventually(lambda: total(late.scrape()) > 50)
    shared.write(MESH % (V2, 0, 100))
    web.revision_after(revision)
    late.signal()
    assert late.wait() == 0
    found = load.end_of_it()
    assert found["failed"] == {}
    assert found["answered"]["late"] > 50


def total(text):
    lines = [line for line in text.splitlines() if line.startswith("istio_requests_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def test_a_refusal_is_shown_with_its_line_and_then_forgotten(shared, web):
    shared.write(BAD[0])
    eventually(lambda: web.status()["refusals"])
    said = shared.meshcore("status", "--mesh", shared.documents).stdout
    assert "the shares must sum to 100, not 99" in said
    assert "mesh.yaml:6:" in said
    assert re.search(r"^web +default +ready +\d+ +1 ", said, re.MULTILINE)
    shared.write(MESH % (V2, 60, 40))
    eventually(lambda: not web.status()["refusals"])
    said = shared.meshcore("status", "--mesh", shared.documents).stdout
    assert re.search(r"^web +default +ready +\d+ +0 ", said, re.MULTILINE)
    assert "refused revision" not in re.sub(r"reviews-v\d refused revision", "", said)


def test_what_was_in_force_is_kept_through_a_refusal(shared, web):
    shared.write(MESH % (V2, 0, 100))
    revision = web.revision_after(web.status()["revision"])
    shared.write(BAD[1])
    eventually(lambda: web.status()["refusals"])
    assert web.status()["revision"] == revision
    load = shared.load(web, "reviews:9080", rate=200)
    assert set(load.end_of_it()["answered"]) == {"v2"}
