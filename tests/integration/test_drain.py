"""Sidecars that end, and certificates that are renewed, while requests go on."""

import http.client
import re
import signal
import time

import pytest
from tests.integration.harness import eventually

MESH = """
services:
  reviews:
    port: 9080
    versions: {v1: ["@11:9080"], v2: ["@12:9080"]}
    allow: [web]
  web:
    port: 8080
    endpoints: ["@21:8080"]
"""
ONLY_V1 = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: only, namespace: default}
spec:
  hosts: [reviews.default.svc.cluster.local]
  http:
  - match: [{uri: {prefix: /slow}}]
    route: [{destination: {host: reviews.default.svc.cluster.local, subset: v1}}]
  - route: [{destination: {host: reviews.default.svc.cluster.local}}]
"""
DRAIN_SECONDS = 5
INTERRUPTED = 130


@pytest.fixture(scope="module")
def web(shared):
    shared.write(MESH)
    shared.write(ONLY_V1, "only.yaml")
    for last, name in ((11, "v1"), (12, "v2")):
        shared.program("application", last, 9080, name)
    return shared.sidecar("web")


@pytest.fixture
def v1(shared, web):
    del web
    yield from started(shared, "v1")


@pytest.fixture(scope="module")
def v2(shared, web):
    del web
    yield from started(shared, "v2")


def started(mesh, version):
    sidecar = mesh.sidecar("reviews", "--version", version)
    yield sidecar
    sidecar.end()


def active(sidecar):
    """Returns how many requests a sidecar carries at this moment."""
    (line,) = re.findall(r"^meshcore_requests_active (\d+)$", sidecar.scrape(), re.MULTILINE)
    return int(line)


def slow_request(sidecar, ms):
    connection = http.client.HTTPConnection(*sidecar.host_port("outbound"), timeout=20)
    connection.request("GET", f"/slow/{ms}", headers={"host": "reviews:9080"})
    return connection


def finish(connection):
    """Returns the status of an answer, and whether the connection goes on."""
    with connection.getresponse() as answer:
        answer.read()
        connection.close()
        return answer.status, answer.getheader("connection")


def test_one_of_two_drains_under_load_and_no_request_fails(shared, web, v1, v2):
    assert v2.pid
    load = shared.load(web, "reviews:9080")
    eventually(lambda: "v1" in v1.scrape())
    began = time.monotonic()
    v1.signal()
    assert v1.wait() == 0
    assert time.monotonic() - began < DRAIN_SECONDS + 1
    found = load.end_of_it()
    assert found["failed"] == {}, [line for line in web.log_lines() if " 200 " not in line]
    assert found["answered"]["v1"] > 0
    assert not v1.ready_file.exists()


def test_a_client_sidecar_that_drains_ends_what_it_has_taken(shared, web, v1):
    del web, v1
    other = shared.sidecar(
        "web-batch", "--address", shared.address(31), "--no-inbound", "--service-account", "web"
    )
    connections = [slow_request(other, 500) for _ in range(8)]
    eventually(lambda: active(other) == 8)
    other.signal()
    assert [finish(connection) for connection in connections] == [(200, "close")] * 8
    assert other.wait() == 0


def test_what_was_begun_is_ended_in_the_drain(web, v1):
    connections = [slow_request(web, 700) for _ in range(8)]
    eventually(lambda: active(v1) == 8)
    v1.signal()
    assert [finish(connection)[0] for connection in connections] == [200] * 8
    assert v1.wait() == 0


def test_a_second_signal_ends_at_once(web, v1):
    connection = slow_request(web, 8000)
    eventually(lambda: active(v1) == 1)
    v1.signal()
    eventually(lambda: "draining" in v1.said())
    assert v1.process.poll() is None
    began = time.monotonic()
    v1.signal(signal.SIGTERM)
    assert v1.wait() == INTERRUPTED
    assert time.monotonic() - began < 1
    connection.close()


def test_what_takes_longer_than_the_drain_is_ended(shared, web):
    (v1,) = shared.sidecars(("reviews", "--version", "v1", "--drain", "1s"))
    connection = slow_request(web, 8000)
    eventually(lambda: active(v1) == 1)
    began = time.monotonic()
    v1.signal()
    assert v1.wait() == 0
    assert 0.9 < time.monotonic() - began < 2.5
    connection.close()


def test_not_ready_while_it_drains(web, v1):
    connection = slow_request(web, 1500)
    eventually(lambda: active(v1) == 1)
    v1.signal()
    eventually(lambda: "draining" in v1.said())
    health = http.client.HTTPConnection(*v1.host_port("health"), timeout=5)
    health.request("GET", "/healthz/ready")
    assert finish(health)[0] == 503
    connection.close()


def serial(sidecar):
    return sidecar.status()["certificate"]["serial"]


def test_certificates_are_renewed_under_load(shared, web, v2):
    """They live for three seconds, so that each second brings a new one."""
    (v1,) = shared.sidecars(("reviews", "--version", "v1", "--cert-ttl", "3s"))
    assert v2.pid
    load = shared.load(web, "reviews:9080", rate=500)
    seen = {serial(v1)}
    eventually(lambda: seen.add(serial(v1)) or len(seen) > 3)
    found = load.end_of_it()
    v1.end()
    assert found["failed"] == {}
    assert found["answered"]["v1"] > 0
