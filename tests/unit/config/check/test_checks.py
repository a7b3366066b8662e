import time

import pytest

from meshcore.config import Source, compile_mesh
from meshcore.errors import Severity


@pytest.fixture
def codes(found):
    def _codes(text):
        return [d.code for d in found(text)]

    return _codes


SERVICES = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: reviews}
spec:
  hosts: [reviews.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  workloadSelector: {labels: {app: reviews}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: reviews-v1}
spec: {address: 10.0.0.1, labels: {app: reviews, version: v1}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}]}
---
"""


@pytest.fixture
def beside(found, document):
    """The findings about a document beside a service that is in order."""

    def _beside(kind, spec, **named):
        return found(SERVICES + document(kind, spec, **named))

    return _beside


def test_what_is_in_order_has_no_findings(found):
    assert found(SERVICES.removesuffix("---\n")) == []


def http(destination, more=""):
    return f"{{hosts: [reviews], http: [{{route: [{{destination: {destination}}}]{more}}}]}}"


def test_a_destination_that_does_not_exist_is_a_warning(beside):
    [finding] = beside("VirtualService", http("{host: reviewz}"))
    assert (finding.code, finding.severity) == ("IST0101", Severity.WARNING)
    assert "'reviewz.default.svc.cluster.local'" in finding.message
    assert 'did you mean "reviews.default.svc.cluster.local"?' in finding.hint
    assert "looked for in the namespace default" in finding.hint


def test_a_half_name_is_taken_as_a_whole_one(beside):
    [finding] = beside("VirtualService", http("{host: reviews.default}"))
    assert "'reviews.default'" in finding.message


def test_a_subset_that_does_not_exist_is_refused(beside, read, document):
    [finding] = beside("VirtualService", http("{host: reviews, subset: v2}"))
    assert (finding.code, finding.severity, finding.line) == ("IST0101", Severity.ERROR, 25)
    assert "allowed: v1" in finding.hint
    text = SERVICES + document("VirtualService", http("{host: reviews, subset: v2}"))
    assert read(text).mesh is None


def test_subsets_of_a_wildcard_rule_count(found, document):
    text = document("DestinationRule", "{host: '*.local', subsets: [{name: v9}]}") + "---\n"
    text += SERVICES + document("VirtualService", http("{host: reviews, subset: v9}"), name="y")
    assert [d for d in found(text) if d.severity is Severity.ERROR] == []


def test_a_service_of_a_wildcard_host_is_known(found, document):
    text = document("ServiceEntry", "{hosts: ['*.example.com']}") + "---\n"
    text += document(
        "VirtualService", "{hosts: [a], http: [{route: [{destination: {host: x.y.example.com}}]}]}"
    )
    assert found(text) == []  # fmt: skip


def test_mirrors_and_tcp_are_looked_at_too(beside):
    spec = "{hosts: [a.b], tcp: [{route: [{destination: {host: nobody.x}}]}]}"
    assert [d.code for d in beside("VirtualService", spec)] == ["IST0101"]
    findings = beside("VirtualService", http("{host: reviews}", ", mirror: {host: nobody.x}"))
    assert {d.code for d in findings} == {"IST0101", "MC0103"}


def test_a_port_must_exist_and_be_chosen(beside, found, document):
    [finding] = beside("VirtualService", http("{host: reviews, port: {number: 81}}"))
    assert (finding.code, finding.hint) == ("IST0101", "its ports: 80")
    two = "{hosts: [two.x], ports: [{number: 1, name: a}, {number: 2, name: b}]}"
    text = (
        document("ServiceEntry", two) + "---\n" + document("VirtualService", http("{host: two.x}"))
    )
    [finding] = [d for d in found(text) if d.code == "IST0112"]
    assert finding.severity is Severity.ERROR
    assert not finding.is_refusal


def test_without_the_refused_documents_nothing_is_missed(found, document):
    text = document("ServiceEntry", "{hosts: [reviews.default.svc.cluster.local], location: X}")
    text += "---\n" + document("VirtualService", http("{host: reviews, subset: v1}"))
    assert [d.code for d in found(text)] == ["IST0106"]


@pytest.mark.parametrize(
    ("first", "second", "conflict"),
    [
        ("", "", True),
        ("", "gateways: [edge], ", False),
        ("gateways: [mesh, edge], ", "", True),
        ("exportTo: ['.'], ", "", True),
        ("exportTo: ['.'], ", "exportTo: ['.'], ", False),
        ("exportTo: [n2], ", "exportTo: ['.'], ", True),
        ("exportTo: ['~'], ", "", False),
        ("exportTo: ['*'], ", "exportTo: ['.'], ", True),
    ],
)
def test_one_host_of_two_services_is_a_conflict(read, document, first, second, conflict):
    rule = "hosts: [a.x], http: [{directResponse: {status: 200}}]"
    text = document("VirtualService", f"{{{first}{rule}}}", namespace="n1") + "---\n"
    text += document("VirtualService", f"{{{second}{rule}}}", namespace="n2")
    result = read(text)
    found = [d for d in result.diagnostics if d.code == "IST0109"]
    assert len(found) == (2 if conflict else 0)
    assert all(d.severity is Severity.ERROR for d in found)
    assert result.mesh is not None  # the older one applies, as in Istio


ANSWER = "directResponse: {status: 200}"


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([f"{{{ANSWER}}}", f"{{match: [{{uri: {{exact: /a}}}}], {ANSWER}}}"], ["IST0130"]),
        ([f"{{match: [{{uri: {{prefix: /}}}}], {ANSWER}}}", f"{{{ANSWER}}}"], ["IST0130"]),
        ([f"{{match: [{{}}], {ANSWER}}}", f"{{{ANSWER}}}"], ["IST0130"]),
        (
            [f"{{match: [{{uri: {{exact: /a}}}}], {ANSWER}}}"] * 2 + [f"{{{ANSWER}}}"],
            ["IST0130"],
        ),
        (
            [
                f"{{match: [{{uri: {{exact: /a}}, name: x}}], {ANSWER}}}",
                f"{{match: [{{uri: {{exact: /a}}}}, {{uri: {{exact: /b}}}}], {ANSWER}}}",
            ],
            ["IST0131"],
        ),
        (
            [f"{{match: [{{uri: {{prefix: /}}, port: 80}}], {ANSWER}}}", f"{{{ANSWER}}}"],
            [],
        ),
        (
            [f"{{match: [{{uri: {{prefix: /a}}}}], {ANSWER}}}", f"{{{ANSWER}}}"],
            [],
        ),
    ],
)
def test_rules_that_are_never_reached(codes, document, rules, expected):
    spec = f"{{hosts: [a.b], http: [{', '.join(rules)}]}}"
    assert codes(document("VirtualService", spec)) == expected


def test_a_tcp_rule_that_is_never_reached(beside):
    rule = "{route: [{destination: {host: reviews}}]}"
    [finding] = beside("VirtualService", f"{{hosts: [a.b], tcp: [{rule}, {rule}]}}")
    assert (finding.code, "tcp[0]" in finding.message) == ("IST0130", True)


def traffic(blocks):
    return f"{{host: reviews, trafficPolicy: {{{blocks}}}}}"


WARMUP = "loadBalancer: {warmup: {duration: 1s}}"
ENDPOINT = "{{hosts: [a.b], resolution: STATIC, endpoints: [{{address: 10.0.0.9, {}}}]}}"
NOT_APPLIED = {
    "VirtualService": [
        ("http.mirror", http("{host: reviews}", ", mirror: {host: reviews}")),
        ("http.mirrors", http("{host: reviews}", ", mirrors: [{destination: {host: reviews}}]")),
        ("http.corsPolicy", http("{host: reviews}", ", corsPolicy: {}")),
        ("http.corsPolicy", http("{host: reviews}", ", cors_policy: {}")),
        ("http.match.statPrefix", http("{host: reviews}", ", match: [{statPrefix: x}]")),
    ],
    "DestinationRule": [
        (
            "subsets.trafficPolicy.loadBalancer.consistentHash",
            (
                "{host: reviews, subsets: [{name: a, trafficPolicy: {loadBalancer: "
                "{consistentHash: {useSourceIp: true}}}}]}"
            ),
        ),
        (
            "trafficPolicy.loadBalancer.consistentHash",
            traffic("loadBalancer: {consistentHash: {useSourceIp: true}}"),
        ),
        (
            "trafficPolicy.portLevelSettings.loadBalancer.warmup",
            traffic(f"portLevelSettings: [{{port: {{number: 80}}, {WARMUP}}}]"),
        ),
        (
            "trafficPolicy.tls.credentialName",
            traffic("tls: {mode: SIMPLE, credentialName: x}"),
        ),
    ],
    "WorkloadEntry": [
        ("network", "{address: 10.0.0.9, network: n}"),
        ("locality", "{address: 10.0.0.9, locality: a/b}"),
    ],
    "ServiceEntry": [
        ("endpoints.network", ENDPOINT.format("network: n")),
        ("endpoints.locality", ENDPOINT.format("locality: a/b")),
    ],
    "AuthorizationPolicy": [
        (
            "rules.from.source.requestPrincipals",
            "{rules: [{from: [{source: {requestPrincipals: [a]}}]}]}",
        ),
    ],
    "Service": [
        (
            "trafficDistribution",
            "{ports: [{name: http, port: 1}], trafficDistribution: PreferClose}",
        ),
    ],
}


@pytest.mark.parametrize(
    ("kind", "field", "spec"),
    [(kind, *case) for kind, cases in NOT_APPLIED.items() for case in cases],
)
def test_what_is_not_applied_is_named(beside, kind, field, spec):
    found = [d for d in beside(kind, spec, name="y") if d.code == "MC0103"]
    assert len(found) == 1
    assert found[0].message.startswith(f"{field} is accepted but not applied yet: ")
    assert found[0].severity is Severity.WARNING


def test_a_list_of_what_is_not_applied_is_said_a_few_times(beside):
    rule = "{" + ANSWER + ", corsPolicy: {maxAge: 1s}}"
    found = beside("VirtualService", f"{{hosts: [a.b], http: [{', '.join([rule] * 50)}]}}")
    assert len([d for d in found if d.code == "MC0103"]) == 5


def test_a_delegate_is_refused(read, document):
    spec = "{hosts: [a.b], http: [{match: [{uri: {prefix: /a}}], delegate: {name: d}}]}"
    result = read(document("VirtualService", spec))
    assert result.mesh is None
    assert "delegate is not supported yet" in result.diagnostics[0].message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (", retries: {retryOn: reset}", "retries without attempts turns retrying off"),
        (", retries: {attempts: 1, retryOn: retriable-headers}", "retriable-headers is accepted"),
        (", match: [{headers: {uri: {exact: /}}}]", "uri is not looked for among header fields"),
        (", match: [{headers: {'@request.auth.claims[a]': {}}}]", "it matches nothing"),
        (", headers: {request: {set: {':path': /}}}", ":path is not a header field"),
    ],
)
def test_traps_of_virtual_services(beside, fields, message):
    found = beside("VirtualService", http("{host: reviews}", fields))
    assert any(message in d.message for d in found), found
    assert not any(d.is_refusal for d in found)


def test_the_authority_of_one_of_several_destinations(beside):
    edit = "headers: {request: {set: {Host: x}}}"
    spec = f"""
hosts: [reviews]
http:
- route:
  - {{destination: {{host: reviews}}, weight: 1, {edit}}}
  - {{destination: {{host: reviews}}, weight: 1}}
"""
    [finding] = beside("VirtualService", spec)
    assert "the authority of one destination" in finding.message


def test_a_body_that_is_not_text_is_refused(errors, document):
    answer = "{hosts: [a.b], http: [{directResponse: {status: 200, body: {bytes: '%s'}}}]}"
    assert "not text in base64" in errors(document("VirtualService", answer % "/w=="))[0].message
    assert "not text in base64" in errors(document("VirtualService", answer % "!"))[0].message
    assert errors(document("VirtualService", answer % "aGk=")) == []


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ("{host: nobody}", "IST0174"),
        ("{host: reviews, subsets: [{name: v2, labels: {version: v2}}]}", "IST0173"),
        ("{host: reviews, trafficPolicy: {portLevelSettings: [{port: {number: 9}}]}}", "IST0101"),
        ("{host: reviews, trafficPolicy: {loadBalancer: {simple: LEAST_CONN}}}", "IST0002"),
    ],
)
def test_destination_rules(beside, spec, code):
    [finding] = beside("DestinationRule", spec)
    assert finding.code == code
    assert not finding.is_refusal


@pytest.mark.parametrize(
    ("kind", "spec", "code"),
    [
        ("ServiceEntry", "{hosts: [a.b], workloadSelector: {labels: {app: x}}}", "IST0127"),
        ("ServiceEntry", "{hosts: [a.b], ports: [{number: 1, name: a, protocol: TCP}]}", "IST0134"),
        ("ServiceEntry", "{hosts: [a.b], ports: [{number: 1, name: a, protocol: UDP}]}", "MC0103"),
        ("ServiceEntry", "{hosts: [a.b], resolution: DYNAMIC_DNS}", "MC0103"),
        ("ServiceEntry", "{hosts: [reviews.default.svc.cluster.local]}", "MC0104"),
        ("WorkloadEntry", "{address: 10.0.0.9, labels: {meshcore.io/inboundport: '1'}}", "IST0108"),
        ("Service", "{selector: {app: x}, ports: [{name: http, port: 1}]}", "IST0127"),
        ("Service", "{ports: [{name: web, port: 1}]}", "IST0118"),
        ("Service", "{ports: [{name: u, port: 1, protocol: UDP}]}", "MC0103"),
        ("Service", "{sessionAffinity: ClientIP, ports: [{name: http, port: 1}]}", "MC0103"),
        ("PeerAuthentication", "{selector: {matchLabels: {app: x}}}", "IST0127"),
        ("AuthorizationPolicy", "{selector: {matchLabels: {app: x}}, rules: [{}]}", "IST0127"),
        ("AuthorizationPolicy", "{action: DENY}", "IST0133"),
        ("AuthorizationPolicy", "{}", "IST0133"),
        ("AuthorizationPolicy", "{action: AUDIT, rules: [{}]}", "MC0103"),
        (
            "AuthorizationPolicy",
            "{rules: [{from: [{source: {principals: ['spiffe://a/ns/b/sa/c']}}]}]}",
            "IST0133",
        ),
        (
            "AuthorizationPolicy",
            "{rules: [{when: [{key: 'request.auth.claims[a]', values: [b]}]}]}",
            "MC0103",
        ),
        (
            "AuthorizationPolicy",
            "{rules: [{when: [{key: 'experimental.envoy.filters.a[b]', values: [b]}]}]}",
            "MC0103",
        ),
    ],
)
def test_other_kinds(beside, kind, spec, code):
    found = beside(kind, spec)
    assert code in [d.code for d in found], found
    assert not any(d.is_refusal for d in found)


def test_the_root_namespace_selects_everywhere_and_peers_nowhere(beside):
    spec = "{selector: {matchLabels: {app: reviews}}, rules: [{}]}"
    assert beside("AuthorizationPolicy", spec, namespace="istio-system") == []
    assert [d.code for d in beside("AuthorizationPolicy", spec, namespace="other")] == ["IST0127"]
    spec = "{selector: {matchLabels: {app: reviews}}}"
    [finding] = beside("PeerAuthentication", spec, namespace="istio-system")
    assert finding.code == "IST0166"


def test_two_peer_authentications_of_a_namespace(codes, document):
    text = document("PeerAuthentication", "{mtls: {mode: STRICT}}", name="a") + "---\n"
    text += document("PeerAuthentication", "{mtls: {mode: DISABLE}}", name="b")
    assert codes(text) == ["MC0105", "MC0105"]


def test_settings_that_others_replace(found, document):
    text = document("MeshConfig", "{}", name="a") + "---\nmesh: {trustDomain: td}\n"
    [finding] = found(text)
    assert (finding.code, finding.line) == ("MC0102", 4)


def test_a_mesh_of_thousands_is_checked_in_seconds():
    lines = ["services:"]
    lines += [
        f"  s{n}: {{port: 80, endpoints: [10.0.{n // 250}.{n % 250}], allow: [x{n}]}}"
        for n in range(3000)
    ]
    rules = [
        "- apiVersion: networking.istio.io/v1\n  kind: VirtualService\n"
        f"  metadata: {{name: v{n}}}\n"
        f"  spec: {{hosts: [s{n}], http: [{{route: [{{destination: {{host: s{n}x}}}}]}}]}}"
        for n in range(3000)
    ]
    text = "\n".join([*lines, "---", "apiVersion: v1", "kind: List", "items:", *rules, ""])
    began = time.monotonic()
    result = compile_mesh([Source("m", text)], 1)
    assert time.monotonic() - began < 30
    assert result.mesh is not None
    assert len([d for d in result.diagnostics if d.code == "IST0101"]) > 900
    assert result.diagnostics[-1].code == "MC0004"
