"""Metrics and access logs, as those who read Istio's expect them."""

import json
import re
import time
from itertools import pairwise

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.integration.harness import curl, eventually

pytestmark = pytest.mark.needs("curl")

MESH = """
mesh: {accessLogFile: /dev/stdout, accessLogEncoding: %s}
services:
  reviews:
    port: 9080
    versions: {v1: ["@11:9080"]}
    allow: [web]
  web:
    port: 8080
    endpoints: ["@21:8080"]
"""
# Source: Istio's metric templates for HTTP.
COMMON = {
    "reporter",
    "source_workload",
    "source_workload_namespace",
    "source_principal",
    "source_app",
    "source_version",
    "source_cluster",
    "source_canonical_service",
    "source_canonical_revision",
    "destination_workload",
    "destination_workload_namespace",
    "destination_principal",
    "destination_app",
    "destination_version",
    "destination_cluster",
    "destination_canonical_service",
    "destination_canonical_revision",
    "destination_service",
    "destination_service_name",
    "destination_service_namespace",
    "connection_security_policy",
    "request_protocol",
    "response_flags",
}
HTTP = COMMON | {"response_code", "grpc_response_status"}
FAMILIES = {
    "istio_requests": ("counter", HTTP),
    "istio_request_duration_milliseconds": ("histogram", HTTP),
    "istio_request_bytes": ("histogram", HTTP),
    "istio_response_bytes": ("histogram", HTTP),
    "istio_tcp_connections_opened": ("counter", COMMON),
    "istio_tcp_connections_closed": ("counter", COMMON),
    "istio_tcp_sent_bytes": ("counter", COMMON),
    "istio_tcp_received_bytes": ("counter", COMMON),
}
# Source: Istio's default JSON access log.
KEYS = {
    "start_time", "route_name", "method", "path", "protocol", "response_code", "response_flags",
    "response_code_details", "connection_termination_details", "bytes_received", "bytes_sent",
    "duration", "upstream_service_time", "x_forwarded_for", "user_agent", "request_id",
    "authority", "upstream_host", "upstream_cluster", "upstream_local_address",
    "downstream_local_address", "downstream_remote_address", "requested_server_name",
    "upstream_transport_failure_reason",
}  # fmt: skip
# Source: Istio's default text access log.
TEXT = re.compile(
    r"\[(?P<start>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)\] "
    r'"(?P<method>\S+) (?P<path>\S+) (?P<protocol>\S+)" (?P<code>\d+) (?P<flags>\S+) '
    r'(?P<details>\S+) (?P<ended>\S+) "(?P<failure>[^"]*)" (?P<received>\d+) (?P<sent>\d+) '
    r'(?P<duration>\d+) (?P<service_time>\S+) "(?P<forwarded>[^"]*)" "(?P<agent>[^"]*)" '
    r'"(?P<id>[^"]*)" "(?P<authority>[^"]*)" "(?P<host>[^"]*)" (?P<cluster>\S+) '
    r"(?P<up_local>\S+) (?P<down_local>\S+) (?P<down_remote>\S+) (?P<sni>\S+) (?P<route>\S+)"
)


@pytest.fixture(scope="module")
def sidecars(shared):
    shared.write(MESH % "JSON")
    shared.program("application", 11, 9080, "v1")
    running = shared.sidecars(("reviews",), ("web",))
    for path in ("/bytes/100", "/bytes/100", "/status/404"):
        ask(running, path)
    ask(running, "/up", "--data-binary", "0123456789")
    tunnel = curl("-p", "-x", running[1].outbound, "http://reviews:9080/tunnelled")
    assert tunnel.code == 200
    return running


def ask(sidecars, path, *more):
    return curl(sidecars[1].outbound + path, "-H", "host: reviews:9080", *more)


def families(sidecar):
    return {family.name: family for family in text_string_to_metric_families(sidecar.scrape())}


def served(sidecar, reporter, **labels):
    """Returns the samples of requests of `reviews`, by their name and value."""
    wanted = {"reporter": reporter, "destination_service_name": "reviews", **labels}
    return [
        sample
        for name in FAMILIES
        for family in [families(sidecar).get(name)]
        if family
        for sample in family.samples
        if wanted.items() <= sample.labels.items()
    ]


def test_istios_families_have_istios_labels(sidecars):
    for sidecar in sidecars:
        found = families(sidecar)
        assert found["istio_build"].samples[0].labels == {
            "component": "proxy", "tag": sidecar.status()["version"],
        }  # fmt: skip
        for name, (kind, labels) in FAMILIES.items():
            if name not in found and name.startswith("istio_tcp"):
                continue
            assert found[name].type == kind
            for sample in found[name].samples:
                assert set(sample.labels) - {"le"} == labels, name


def test_tcp_families_are_there_after_a_tunnel(sidecars):
    eventually(lambda: "istio_tcp_connections_closed" in families(sidecars[1]))
    found = families(sidecars[1])
    assert {name for name in FAMILIES if name.startswith("istio_tcp")} <= found.keys()
    sample = found["istio_tcp_connections_opened"].samples[0]
    assert sample.labels["request_protocol"] == "tcp"


def test_label_values(sidecars):
    (at_server,) = requests_of(sidecars[0], "destination", "404")
    (at_client,) = requests_of(sidecars[1], "source", "404")
    same = {
        "source_workload": "web",
        "source_workload_namespace": "default",
        "source_app": "web",
        "source_canonical_service": "web",
        "source_canonical_revision": "latest",
        "source_principal": "spiffe://cluster.local/ns/default/sa/web",
        "destination_workload": "reviews-v1",
        "destination_version": "v1",
        "destination_canonical_revision": "v1",
        "destination_principal": "spiffe://cluster.local/ns/default/sa/reviews",
        "destination_service": "reviews.default.svc.cluster.local",
        "destination_service_namespace": "default",
        "request_protocol": "http",
        "response_flags": "-",
    }
    for sample in (at_server, at_client):
        assert {name: sample.labels[name] for name in same} == same
    assert at_server.labels["connection_security_policy"] == "mutual_tls"
    assert at_client.labels["connection_security_policy"] == "unknown"


def requests_of(sidecar, reporter, code):
    return [
        sample
        for sample in served(sidecar, reporter, response_code=code)
        if sample.name == "istio_requests_total"
    ]


def test_both_reporters_agree(sidecars):
    def sums(sidecar, reporter):
        totals = {}
        for sample in served(sidecar, reporter):
            if sample.name.endswith(("_total", "_count")) and "tcp" not in sample.name:
                key = sample.name, sample.labels["response_code"]
                totals[key] = totals.get(key, 0) + sample.value
            if sample.name in {"istio_request_bytes_sum", "istio_response_bytes_sum"}:
                totals[sample.name] = totals.get(sample.name, 0) + sample.value
        return totals

    # The tunnelled request is opaque to the client's side only.
    server, client = sums(sidecars[0], "destination"), sums(sidecars[1], "source")
    assert client["istio_requests_total", "404"] == server["istio_requests_total", "404"] == 1
    for kind in ("istio_requests_total", "istio_request_duration_milliseconds_count"):
        assert client[kind, "200"] == 3
        assert server[kind, "200"] == 4
    assert client["istio_request_bytes_sum"] == server["istio_request_bytes_sum"] == 10


def test_histograms_only_grow(sidecars):
    for family in families(sidecars[0]).values():
        if family.type != "histogram":
            continue
        series = {}
        for sample in family.samples:
            labels = {**sample.labels}
            if (bound := labels.pop("le", None)) is not None:
                series.setdefault(tuple(labels.items()), []).append((float(bound), sample.value))
        for buckets in series.values():
            assert all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(buckets))
            assert buckets[-1][0] == float("inf")


def test_json_log_has_istios_keys(sidecars):
    got = ask(sidecars, "/logged-as-json", "-A", 'an "agent"\\', "--data-binary", "12345")
    for sidecar in sidecars:
        line = json.loads(sidecar.log_line("/logged-as-json"))
        assert set(line) == KEYS
        assert (line["method"], line["response_code"]) == ("POST", 200)
        assert line["bytes_received"] == 5
        assert line["bytes_sent"] == len(got.body)
        assert line["user_agent"] == 'an "agent"\\'
        assert line["request_id"] == got.json()["headers"]["x-request-id"]
        assert line["authority"] == "reviews:9080"
    assert line["upstream_cluster"] == "outbound|9080||reviews.default.svc.cluster.local"


def test_text_log_is_istios_format(sidecars, shared):
    revision = [sidecar.status()["revision"] for sidecar in sidecars]
    shared.write(MESH % "TEXT")
    for sidecar, before in zip(sidecars, revision, strict=True):
        sidecar.revision_after(before)
    ask(sidecars, "/logged-as-text?q=1", "-A", "agent")
    lines = [sidecar.log_line("/logged-as-text") for sidecar in sidecars]
    server, client = (TEXT.fullmatch(line) for line in lines)
    assert server, lines[0]
    assert client, lines[1]
    assert client["path"] == "/logged-as-text?q=1"
    assert client["cluster"] == "outbound|9080||reviews.default.svc.cluster.local"
    assert client["host"] == f"{shared.address(11)}:9080"
    assert server["sni"] == "outbound_.9080_._.reviews.default.svc.cluster.local"
    assert server["id"] == client["id"]
    written = time.strptime(client["start"][:19], "%Y-%m-%dT%H:%M:%S")
    assert abs(time.mktime(written) - time.mktime(time.gmtime())) < 60


def test_a_log_file_that_is_moved_is_opened_again(sidecars):
    web = sidecars[1]
    moved = web.access_log.rename(web.access_log.with_suffix(".moved"))
    ask(sidecars, "/before-the-move")
    eventually(lambda: "/before-the-move" in moved.read_text())
    curl("-X", "POST", f"http://{web.addresses['admin']}/reopen_logs")
    ask(sidecars, "/after-the-move")
    assert web.log_line("/after-the-move")
    assert "/after-the-move" not in moved.read_text()
