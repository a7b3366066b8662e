import json
import string
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshcore.config import Source, compile_mesh
from meshcore.config.parse import parse
from meshcore.errors import ConfigError, Severity


def test_a_list_is_expanded(read):
    text = """
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}]}}
- apiVersion: v1
  kind: ServiceList
  items:
  - {apiVersion: v1, kind: Service, metadata: {name: b}, spec: {ports: [{port: 80}]}}
"""
    assert [s["name"] for s in read(text).required()["services"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("kind", "version", "severity"),
    [
        ("Deployment", "apps/v1", Severity.INFO),
        ("ConfigMap", "v1", Severity.INFO),
        ("Service", "serving.knative.dev/v1", Severity.INFO),
        ("VirtualService", "example.com/v1", Severity.INFO),
        ("Sidecar", "networking.istio.io/v1", Severity.WARNING),
        ("HTTPRoute", "gateway.networking.k8s.io/v1", Severity.WARNING),
        ("RequestAuthentication", "security.istio.io/v1", Severity.WARNING),
        ("AuthorisationPolicy", "security.istio.io/v1", Severity.ERROR),
        ("Base", "networking.istio.io/v1", Severity.ERROR),
    ],
)
def test_a_kind_that_is_not_read_is_said(read, kind, version, severity):
    result = read(f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\nanything: [1]\n")
    [finding] = result.diagnostics
    assert (finding.code, finding.severity, finding.line) == ("MC0101", severity, 2)
    assert (result.mesh is None) == (severity is Severity.ERROR)


def test_a_misspelled_policy_is_an_error_with_a_suggestion(found):
    [finding] = found("apiVersion: security.istio.io/v1\nkind: AuthorizationPolicies\n")
    assert 'did you mean "AuthorizationPolicy"?' in finding.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5\n", "a document must be a mapping"),
        ("- a\n", "a document must be a mapping"),
        ("servics: {}\n", "neither kind"),
        ("kind: 5\napiVersion: v1\n", "kind: text is needed"),
        ("kind: Service\n", "apiVersion: Required value"),
        ("kind: VirtualService\napiVersion: networking.istio.io/v9\n", "unknown version"),
        ("kind: List\napiVersion: v1\nitems: [5]\n", "not a document"),
        (
            "kind: Service\napiVersion: v1\nmetadata: {name: x}\nspec: {}\nspecs: {}\n",
            "unknown field",
        ),
        ("kind: Service\napiVersion: v1\nspec: {}\n", "metadata.name: Required value"),
        ("kind: Service\napiVersion: v1\nmetadata: {name: x}\n", "spec: Required value"),
        ("kind: Service\napiVersion: v1\nmetadata: {name: x}\nspec:\n", "spec: Required value"),
        (
            "kind: Service\napiVersion: v1\nmetadata: {name: 'a b'}\nspec: {}\n",
            "metadata.name: 'a b' is not a name",
        ),
        (
            "kind: Service\napiVersion: v1\nmetadata: {name: x, labels: {a: 1}}\nspec: {}\n",
            'metadata.labels.a: text is needed, put it in quotes: "1"',
        ),
    ],
)
def test_a_document_must_say_what_it_is(read, text, message):
    result = read(text)
    assert result.mesh is None
    assert [message in d.message for d in result.diagnostics] == [True]
    assert result.diagnostics[0].line


def test_all_mistakes_are_found_in_their_order(errors):
    text = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [reviews]
  http:
  - timeout: 5
    route: [{destination: {host: reviews, subset: 1}}]
    retrys: {}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: b}
spec: {mtls: {mode: strict}}
---
a: [
"""
    found = errors(text)
    assert [(d.line, d.column) for d in found] == [(8, 14), (9, 51), (10, 5), (15, 21), (18, 1)]
    assert "http[0].timeout: 5 has no unit, write 5s or 5ms" in found[0].message
    assert 'did you mean "retries"?' in found[2].hint
    assert 'did you mean "STRICT"?' in found[3].hint


def test_snake_case_is_read_as_camel_case(read, document):
    spec = """
host: reviews
traffic_policy:
  connection_pool: {http: {http1_max_pending_requests: 3}, tcp: {max_connections: 5}}
  port_level_settings: [{port: {number: 80}, tls: {mode: DISABLE}}]
"""
    [policy] = read(document("DestinationRule", spec)).required()["traffic_policies"]
    assert policy["policy"]["connection_pool"]["max_pending_requests"] == 3
    assert policy["policy"]["connection_pool"]["max_connections"] == 5
    assert policy["policy"]["ports"][0][0] == 80


def test_a_field_in_both_spellings_is_refused(errors, document):
    spec = "{hosts: [a.example], exportTo: ['.'], export_to: ['*']}"
    [error] = errors(document("ServiceEntry", spec))
    assert "exportTo" in error.message or "export_to" in error.message


def test_null_is_not_said(read, document):
    spec = "{hosts: [a.example], ports: null, location: ~, endpoints: }"
    [service] = read(document("ServiceEntry", spec)).required()["services"]
    assert (service["ports"], service["location"]) == ([], "external")


def test_a_later_document_of_the_same_name_counts(read, document):
    text = document("ServiceEntry", "{hosts: [a.example]}") + "---\n"
    text += document("ServiceEntry", "{hosts: [b.example]}")
    result = read(text)
    assert [s["host"] for s in result.required()["services"]] == ["b.example"]
    [warning] = [d for d in result.diagnostics if d.code == "MC0102"]
    assert (warning.line, warning.severity) == (4, Severity.WARNING)


def test_settings_are_read_first_wherever_they_stand(read):
    text = "services: {a: {port: 80, allow: [b]}}\n---\nmesh: {trustDomain: td, domain: x.y}\n"
    mesh = read(text).required()
    assert mesh["services"][0]["host"] == "a.default.svc.x.y"
    assert mesh["authorizations"][0]["rules"][0]["from"][0]["principals"]["any"] == [
        {"exact": "td/ns/default/sa/b"}
    ]


def test_windows_line_ends_and_a_byte_order_mark_are_taken():
    source = Source("w.yaml", b"\xef\xbb\xbfservices:\r\n  a: {prot: 80}\r\n")
    errors = compile_mesh([source], 1).diagnostics
    assert {(d.line, d.source_line) for d in errors} == {(2, "  a: {prot: 80}")}


def test_many_mistakes_take_bounded_time(document):
    hosts = "[" + "1, " * 100_000 + "]"
    text = document("VirtualService", f"{{hosts: {hosts}}}")
    began = time.monotonic()
    found = compile_mesh([Source("m", text)], 1).diagnostics
    assert 1 <= len(found) <= 50
    assert time.monotonic() - began < 10


def test_the_exception_says_everything(read):
    result = read("servics: {}\n---\n5\n")
    with pytest.raises(ConfigError) as raised:
        result.required()
    assert len(raised.value.diagnostics) == 2
    assert "mesh.yaml:1:1: error[MC0002]" in str(raised.value)


WORDS = st.sampled_from(
    [
        "services", "mesh", "namespace", "kind", "apiVersion", "metadata", "spec", "name", "hosts",
        "http", "route", "match", "rules", "from", "source", "principals", "versions", "split",
        "port", "allow", "timeout", "VirtualService", "AuthorizationPolicy", "DestinationRule",
        "ServiceEntry", "WorkloadEntry", "PeerAuthentication", "Service", "MeshConfig", "List",
        "items", "networking.istio.io/v1", "security.istio.io/v1", "v1", "meshcore.io/v1", "uri",
        "regex", "headers", "retries", "subsets", "trafficPolicy", "endpoints", "address", "ports",
    ]
)  # fmt: skip
SCALARS = st.one_of(
    WORDS, st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
    st.sampled_from(["5s", "*", "a.b", "(", "10.0.0.1:80", "spiffe://x", "{**}/{*}"]),
)  # fmt: skip
TREES = st.recursive(
    SCALARS,
    lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(WORDS, below, max_size=4)),
    max_leaves=20,
)
KINDS = st.sampled_from(
    [
        ("networking.istio.io/v1", "VirtualService"), ("networking.istio.io/v1", "ServiceEntry"),
        ("networking.istio.io/v1", "DestinationRule"), ("networking.istio.io/v1", "WorkloadEntry"),
        ("security.istio.io/v1", "AuthorizationPolicy"), ("v1", "Service"),
        ("security.istio.io/v1", "PeerAuthentication"), ("meshcore.io/v1", "MeshConfig"),
    ]
)  # fmt: skip


def sound(text):
    """Whatever a text is: an answer, never an exception; and a mesh only without refusals."""
    result = compile_mesh([Source("f.yaml", text)], 1)
    assert (result.mesh is None) == any(d.is_refusal for d in result.diagnostics)
    for finding in result.diagnostics:
        assert finding.render()
        assert finding.line <= len(text) + 1


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(st.one_of(st.text(max_size=200), st.binary(max_size=200)))
def test_any_text_gets_an_answer(text):
    sound(text)


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(st.text(alphabet=string.printable + "&*!|>%@`\x85\u2028\ufeff", max_size=200))
def test_any_nearly_yaml_gets_an_answer(text):
    sound("services: " + text)


@settings(max_examples=500, suppress_health_check=list(HealthCheck))
@given(KINDS, TREES, TREES)
def test_any_document_gets_an_answer(kind, spec, metadata):
    head = {"apiVersion": kind[0], "kind": kind[1]}
    sound(json.dumps({**head, "metadata": {"name": "x"}, "spec": spec}))
    sound(json.dumps({**head, "metadata": metadata, "spec": spec}))
    sound(json.dumps({"services": {"a": spec, "b": metadata}}))
    sound(json.dumps(spec))


def test_parse_alone_gives_documents():
    parsed = parse([Source("a", "services: {a: {port: 80}}")])
    assert [(d.kind, d.name, d.from_short_form) for d in parsed.documents] == [
        ("ServiceEntry", "a", True)
    ]
