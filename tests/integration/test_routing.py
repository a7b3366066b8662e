"""What Istio's documents say of routes, seen by curl."""

import http.client
import time

import pytest
from tests.integration.harness import curl

pytestmark = pytest.mark.needs("curl")

MESH = """
services:
  reviews:
    port: 9080
    versions: {v1: ["@11:9080"], v2: ["@12:9080"]}
  web:
    port: 8080
    endpoints: ["@21:8080"]
"""
ROUTES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec:
  hosts: [reviews]
  http:
  - name: moved
    match: [{uri: {exact: /old}}]
    redirect: {uri: /new, authority: elsewhere.example, redirectCode: 308}
  - name: rewritten
    match: [{uri: {prefix: /before/}}]
    rewrite: {uri: /after/, authority: inside.example}
    route: [{destination: {host: reviews, subset: v1}}]
  - name: by-pattern
    match: [{uri: {regex: "/users/[0-9]+/.*"}}]
    rewrite: {uriRegexRewrite: {match: "/users/([0-9]+)/(.*)", rewrite: '/u/\\2/\\1'}}
    route: [{destination: {host: reviews, subset: v1}}]
  - name: direct
    match: [{uri: {exact: /teapot}}]
    directResponse: {status: 418, body: {string: "short and stout"}}
    headers: {response: {set: {x-kind: pot}}}
  - name: broken
    match: [{uri: {exact: /broken}}]
    fault: {abort: {httpStatus: 555, percentage: {value: 100}}}
    route: [{destination: {host: reviews, subset: v1}}]
  - name: delayed
    match: [{uri: {exact: /delayed}}]
    fault: {delay: {fixedDelay: 300ms, percentage: {value: 100}}}
    route: [{destination: {host: reviews, subset: v1}}]
  - name: by-header
    match: [{headers: {x-user: {exact: jason}}}]
    headers:
      request: {set: {x-added: "1"}, remove: [x-secret]}
      response: {add: {x-served: by-header}, remove: [content-type]}
    route: [{destination: {host: reviews, subset: v2}}]
  - name: by-query
    match: [{queryParams: {version: {exact: "2"}}}]
    route: [{destination: {host: reviews, subset: v2}}]
  - name: by-method
    match: [{method: {exact: DELETE}}]
    route: [{destination: {host: reviews, subset: v2}}]
  - name: limited
    match: [{uri: {prefix: /slow/}}]
    timeout: 200ms
    route: [{destination: {host: reviews, subset: v1}}]
  - name: repeated
    match: [{uri: {prefix: /flaky}}]
    retries: {attempts: 2, retryOn: 5xx}
    route: [{destination: {host: reviews, subset: v1}}]
  - route: [{destination: {host: reviews, subset: v1}}]
"""


@pytest.fixture(scope="module")
def sidecars(shared):
    shared.write(MESH)
    shared.write(ROUTES, "routes.yaml")
    for last, name in ((11, "v1"), (12, "v2")):
        shared.program("application", last, 9080, name)
    return shared.sidecars(
        ("reviews", "--version", "v1"), ("reviews", "--version", "v2"), ("web",)
    )  # fmt: skip


@pytest.fixture(scope="module")
def ask(sidecars):
    """Returns a function that asks `reviews` for a path."""
    return lambda path, *more: curl(sidecars[2].outbound + path, "-H", "host: reviews:9080", *more)


def test_a_redirect(ask):
    got = ask("/old")
    assert got.code == 308
    assert got.header("location") == "http://elsewhere.example/new"


def test_a_rewrite_of_prefix_and_authority(ask):
    asked = ask("/before/x?q=1").json()
    assert asked["path"] == "/after/x?q=1"
    assert asked["headers"]["host"] == "inside.example"


def test_a_rewrite_by_pattern(ask):
    assert ask("/users/12/name").json()["path"] == "/u/name/12"


def test_a_direct_response(ask):
    got = ask("/teapot")
    assert (got.code, got.body) == (418, b"short and stout")
    assert got.header("x-kind") == "pot"
    assert got.header("x-application") is None


def test_a_fault_that_aborts(ask):
    got = ask("/broken")
    assert got.code == 555
    assert got.header("x-application") is None


def test_a_fault_that_delays(ask):
    began = time.monotonic()
    assert ask("/delayed").code == 200
    assert time.monotonic() - began >= 0.3


def test_header_edits_both_ways(ask):
    got = ask("/", "-H", "x-user: jason", "-H", "x-secret: s")
    headers = got.json()["headers"]
    assert got.json()["name"] == "v2"
    assert headers["x-added"] == "1"
    assert "x-secret" not in headers
    assert got.header("x-served") == "by-header"
    assert got.header("content-type") is None


@pytest.mark.parametrize(
    ("version", "path", "more"),
    [
        ("v1", "/", ()),
        ("v1", "/", ("-H", "x-user: jasons")),
        ("v2", "/?a=b&version=2", ()),
        ("v1", "/?version=22", ()),
        ("v2", "/", ("-X", "DELETE")),
    ],
)
def test_matches_choose_the_subset(ask, version, path, more):
    assert ask(path, *more).json()["name"] == version


def test_a_timeout(ask):
    began = time.monotonic()
    assert ask("/slow/3000").code == 504
    assert time.monotonic() - began < 2


def test_a_retry(ask):
    assert ask("/flaky").code == 200


def test_an_application_that_hangs_up_is_a_502_or_503(ask):
    assert ask("/drop").code in {502, 503}


def test_an_application_that_closes_after_each_answer(ask):
    for number in range(10):
        assert ask(f"/last/{number}").code == 200


@pytest.mark.parametrize(
    "path", ["/%2e%2e/before/x", "/a/../before/x", "//before//x", "/before%2Fx", "/./before/x"]
)
def test_a_path_in_disguise_takes_the_same_route(ask, path):
    assert ask(path, "--path-as-is").json()["path"] == "/after/x"


def test_plain_text_is_served_where_it_is_permitted(sidecars):
    got = curl(f"http://{sidecars[0].addresses['inbound']}/", "-H", "host: reviews:9080")
    assert (got.code, got.json()["name"]) == (200, "v1")
    assert "x-forwarded-client-cert" not in got.json()["headers"]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0",
        b"GET / HTTP/1.1\r\nhost: reviews:9080\r\nx y: 1\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\nhost: reviews:9080\r\n\r\n",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(sidecars, request_bytes):
    connection = http.client.HTTPConnection(*sidecars[2].host_port("outbound"), timeout=10)
    connection.connect()
    connection.sock.sendall(request_bytes)
    with http.client.HTTPResponse(connection.sock) as answer:
        answer.begin()
        assert answer.status == 400
    connection.close()
