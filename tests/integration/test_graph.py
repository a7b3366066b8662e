"""`meshcore graph` of real sidecars."""

import json
import signal
import threading

import pytest
from tests.integration.harness import curl, eventually

pytestmark = pytest.mark.needs("curl")

MESH = """
services:
  reviews:
    port: 9080
    versions: {v1: ["@11:9080"], v2: ["@12:9080"]}
    allow: [web]
  web:
    port: 8080
    endpoints: ["@21:8080"]
  stranger:
    port: 8080
    endpoints: ["@31:8080"]
"""


@pytest.fixture(scope="module")
def sidecars(shared):
    shared.write(MESH)
    for last, name in ((11, "v1"), (12, "v2")):
        shared.program("application", last, 9080, name)
    return shared.sidecars(
        ("reviews", "--version", "v1"), ("reviews", "--version", "v2"), ("web",), ("stranger",)
    )  # fmt: skip


@pytest.fixture
def calls(sidecars):
    """Requests of web and of stranger, all the time."""
    ended = threading.Event()

    def go_on(sidecar):
        while not ended.is_set():
            curl(sidecar.outbound + "/", "-H", "host: reviews:9080")

    threads = [threading.Thread(target=go_on, args=(one,)) for one in sidecars[2:]]
    for thread in threads:
        thread.start()
    yield
    ended.set()
    for thread in threads:
        thread.join()


def graph(shared, *more):
    return shared.meshcore("graph", "--mesh", shared.documents, "--over", "1s", *more)


@pytest.mark.usefixtures("calls")
def test_who_calls_whom_with_identity_and_denials(shared):
    done = graph(shared, "-o", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    edges = {(one["source"], one["destination"]): one for one in found["calls"]}
    assert set(edges) == {
        (source, f"reviews-{version}") for source in ("web", "stranger") for version in ("v1", "v2")
    }
    for (source, _), one in edges.items():
        assert one["identity"] == f"spiffe://cluster.local/ns/default/sa/{source}"
        assert one["errors"] == (one["requests"] if source == "stranger" else 0)
        assert 0 <= one["p50_ms"] <= one["p99_ms"]
    (denied,) = found["denied"]
    assert "AuthorizationPolicy default/reviews-callers" in denied["policy"]
    refused = sum(one["errors"] for one in found["calls"])
    assert abs(denied["requests"] - refused) <= 2  # the two are not read at the same moment


@pytest.mark.usefixtures("calls")
def test_the_table_is_for_people(shared):
    lines = graph(shared).stdout.splitlines()
    assert lines[0].split() == [
        "SOURCE", "DESTINATION", "RATE", "ERRORS", "P50", "P99", "MTLS", "IDENTITY",
    ]  # fmt: skip
    rows = {tuple(line.split()[:2]): line.split()[2:] for line in lines[1:5]}
    assert rows["web", "reviews-v1"][1] == "-"
    assert rows["stranger", "reviews-v1"][1] == "100%"
    assert rows["web", "reviews-v2"][-1] == "ns/default/sa/web"
    assert lines[-1].startswith("denied ")
    assert "mesh.yaml:" in lines[-1]


@pytest.mark.usefixtures("sidecars")
def test_without_calls_it_says_so(shared):
    assert eventually(lambda: "nobody called anybody" in graph(shared).stdout)


def test_a_sidecar_that_does_not_answer_is_said(shared, sidecars):
    sidecars[0].signal(signal.SIGSTOP)
    try:
        done = graph(shared)
    finally:
        sidecars[0].signal(signal.SIGCONT)
    assert done.returncode == 3
    assert f"{sidecars[0].addresses['metrics']} does not answer: timed out" in done.stderr
    assert "nobody called anybody" in done.stdout  # of those that answer


def test_where_nothing_runs_it_says_so(shared, tmp_path):
    done = shared.meshcore("graph", "--mesh", shared.documents, "--state", tmp_path)
    assert (done.returncode, done.stdout) == (4, "")
    assert "no sidecar runs here" in done.stderr


@pytest.mark.parametrize("period", ["0s", "soon"])
def test_a_period_that_is_none_is_refused(shared, period):
    done = shared.meshcore("graph", "--over", period)
    assert done.returncode == 2
    assert "--over" in done.stderr
