import copy

import pytest

from meshcore.config import Source, compile_mesh
from meshcore.config.expand import expand
from meshcore.config.parse import parse
from meshcore.errors import Severity

MESH = """\
namespace: shop
mesh: {trustDomain: example.org, outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
services:
  reviews:
    port: 9080
    versions:
      v1: ["127.0.0.11:9080", "127.0.0.21:9080"]
      v2: ["127.0.0.12:9081"]
    split: {v1: 90, v2: 10}
    allow: [productpage, other/batch]
    timeout: 2s
    retries: 3
  productpage: {port: 80, endpoints: ["127.0.0.10"], allow: ["*"]}
  closed: {port: 6379, protocol: redis, allow: []}
  named: {port: 443, protocol: https, endpoints: ["api.example.com:8443", "[::1]:9"]}
  away: {port: 80, namespace: far, retries: {attempts: 1, perTryTimeout: 1s, retryOn: "503"}}
"""


def without_lines(value):
    """The same resources, wherever they were written."""
    if isinstance(value, dict):
        return {k: without_lines(v) for k, v in value.items() if k not in {"line", "file"}}
    return [without_lines(v) for v in value] if isinstance(value, (list, tuple)) else value


def test_what_is_printed_is_read_to_the_same_resources(read):
    printed = expand(parse([Source("mesh.yaml", MESH)]).documents)
    assert "\t" not in printed
    assert "&id" not in printed
    again = compile_mesh([Source("out.yaml", printed)], 7)
    assert without_lines(again.required()) == without_lines(read(MESH).required())


def test_a_service_becomes_an_entry_of_the_mesh(read):
    mesh = read(MESH).required()
    service = mesh["services"][0]
    assert service["host"] == "reviews.shop.svc.cluster.local"
    assert (service["name"], service["namespace"]) == ("reviews", "shop")
    assert (service["location"], service["resolution"]) == ("internal", "static")
    assert service["selector"] == {"app": "reviews"}
    assert service["ports"] == [
        {
            "number": 9080,
            "name": "http",
            "protocol": "http",
            "target_port": None,
            "target_port_name": None,
        }
    ]


def test_each_address_becomes_a_workload(read):
    mesh = read(MESH).required()
    first, second, third = (w for w in mesh["workloads"] if w["labels"]["app"] == "reviews")
    assert first["origin"]["name"] == "reviews-v1-1"
    assert [w["name"] for w in (first, second, third)] == ["reviews-v1", "reviews-v1", "reviews-v2"]
    assert first["address"] == "127.0.0.11"
    assert (first["ports"], third["ports"]) == ({}, {"http": 9081})
    assert first["labels"]["version"] == "v1"
    assert first["service_account"] == "reviews"
    assert (first["mtls"], first["inbound_port"], first["hbone_port"]) == (True, 15006, 15008)


def test_versions_become_subsets_and_the_split_a_route(read):
    mesh = read(MESH).required()
    assert [s["name"] for s in mesh["traffic_policies"][0]["subsets"]] == ["v1", "v2"]
    rule = mesh["routes"][0]["http"][0]
    assert [(d["subset"], d["weight"]) for d in rule["action"]["forward"]] == [
        ("v1", 90),
        ("v2", 10),
    ]
    assert rule["timeout_ms"] == 2000
    assert rule["retries"]["attempts"] == 3


def test_callers_become_principals(read):
    mesh = read(MESH).required()
    rules = {a["origin"]["name"]: a["rules"] for a in mesh["authorizations"]}
    assert rules["reviews-callers"][0]["from"][0]["principals"]["any"] == [
        {"exact": "example.org/ns/shop/sa/productpage"},
        {"exact": "example.org/ns/other/sa/batch"},
    ]
    assert rules["productpage-callers"][0]["from"][0]["principals"]["any"] == ["present"]
    assert rules["closed-callers"] == []
    assert "named-callers" not in rules
    assert {a["action"] for a in mesh["authorizations"]} == {"allow"}


def test_host_names_are_found_by_dns(read):
    mesh = read(MESH).required()
    named = next(s for s in mesh["services"] if s["name"] == "named")
    assert (named["resolution"], named["ports"][0]["protocol"]) == ("dns", "tls")
    addresses = [
        (w["address"], w["ports"]) for w in mesh["workloads"] if w["labels"]["app"] == "named"
    ]
    assert addresses == [("api.example.com", {"https": 8443}), ("::1", {"https": 9})]


def test_resources_point_at_the_line_that_made_them(read):
    mesh = read(MESH).required()
    lines = {s["name"]: s["origin"]["line"] for s in mesh["services"]}
    assert lines == {"reviews": 4, "productpage": 13, "closed": 14, "named": 15, "away": 16}
    assert mesh["workloads"][2]["origin"]["line"] == 8
    assert mesh["routes"][0]["origin"]["line"] == 9
    assert mesh["authorizations"][0]["rules"][0]["line"] == 10


def test_without_a_policy_there_is_none(read):
    mesh = read("services: {a: {port: 80}}").required()
    assert (mesh["authorizations"], mesh["routes"], mesh["traffic_policies"]) == ([], [], [])


@pytest.mark.parametrize(
    ("service", "message", "column"),
    [
        ("{}", "port: Required value", 15),
        ("{port: 0}", "must be at least 1", 22),
        ("{port: '80'}", "a whole number is needed, not text (80)", 22),
        ("{port: true}", "a whole number is needed, not true or false (true)", 22),
        ("{port: 1, split: {v1: 100}}", "unknown version 'v1'", 37),
        ("{port: 1, versions: {v1: [a]}, split: {v2: 100}}", "allowed: v1", 58),
        ("{port: 1, versions: {v1: [a]}, split: {v1: 90}}", "sum to 100, not 90", 46),
        ("{port: 1, versions: {v1: []}}", "must not be empty", 36),
        ("{port: 1, versions: {V_1: [a]}}", "is not a name", 36),
        ("{port: 1, endpoints: ['a:b:c']}", "is not an address", 37),
        ("{port: 1, endpoints: ['a:0']}", "is not an address", 37),
        ("{port: 1, endpoints: ['[a]:1']}", "is not an address", 37),
        ("{port: 1, endpoints: [':80']}", "is not an address", 37),
        ("{port: 1, endpoints: [a], versions: {v: [a]}}", "only one of", 25),
        ("{port: 1, allow: ['a b']}", "is not a caller", 33),
        ("{port: 1, allow: }", "nothing is given here, which would allow everybody", 32),
        ("{port: 1, allow: null}", "write [] for nobody", 32),
        ("{port: 1, allow: ['*x']}", "is not a caller", 33),
        ("{port: 1, protocol: gopher}", "unknown protocol", 35),
        ("{port: 1, protocol: tcp, timeout: 1s}", "timeout needs an HTTP protocol", 49),
        ("{port: 1, timeout: 1}", "has no unit", 34),
        ("{port: 1, retries: x}", "retries", 34),
        ("{port: 1, verisons: {}}", 'did you mean "versions"', 25),
        ("5", "port: Required value", 12),
    ],
)
def test_mistakes_in_the_short_form(errors, service, message, column):
    found = errors(f"services: {{a: {service}}}\n")
    assert len(found) == 1
    assert message in f"{found[0].message} {found[0].hint}"
    assert found[0].line == 1
    assert found[0].column == column


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("services: [a]\n", "a mapping of names to services"),
        ("services: {A_b: {port: 1}}\n", "is not a service name"),
        ("services: {'a.b': {port: 1}}\n", "is not a service name"),
        ("services: {a: {port: 1}}\nservice: {}\n", 'did you mean "services"'),
        ("services: {a: {port: 1}}\n---\nservices: {a: {port: 2}}\n", "is given twice"),
        ("mesh: {trustdomain: x}\n", 'did you mean "trustDomain"'),
        ("mesh: {trustDomain: 'A B'}\n", "a trust domain has only"),
        ("mesh: 5\n", "a mapping is needed"),
        ("mesh: {connectTimeout: 5}\n", "has no unit"),
    ],
)
def test_mistakes_around_services(errors, text, message):
    found = errors(text)
    assert len(found) == 1
    assert message in f"{found[0].message} {found[0].hint}"


def test_an_empty_short_form_is_no_mistake(found):
    assert found("services:\n") == []
    assert found("services: {}\n") == []


def test_a_caller_that_is_nearly_a_service_is_a_warning(found):
    text = "services:\n  web: {port: 80}\n  db: {port: 1, allow: [wbe, batch, ns/web]}\n"
    [warning] = found(text)
    assert (warning.code, warning.severity) == ("MC0201", Severity.WARNING)
    assert (warning.line, warning.column) == (3, 25)
    assert warning.hint == 'did you mean "web"?'


def test_workloads_of_different_services_never_share_a_name(read):
    text = """
services:
  a: {port: 1, versions: {b-1: ["127.0.0.1"]}}
  a-b: {port: 1, versions: {"1": ["127.0.0.2"]}}
"""
    mesh = read(text).required()
    assert len({w["origin"]["name"] for w in mesh["workloads"]}) == 2


def test_quoted_text_stays_text_when_printed():
    text = 'services: {a: {port: 80, versions: {"1": [h], "1e3": [h], "on": [h]}}}\n'
    documents = parse([Source("m", text)]).documents
    printed = expand(documents)
    again = parse([Source("m", printed)]).documents
    assert [d.node.plain() for d in again] == [d.node.plain() for d in documents]


def test_parsing_does_not_change_what_it_is_given(read):
    first = copy.deepcopy(read(MESH).required())
    assert read(MESH).required() == first
