import pytest

from meshcore.config import Source, compile_mesh
from meshcore.config.compile import compile_documents
from meshcore.config.compile.authorization_match import text_match
from meshcore.config.parse import parse


@pytest.fixture
def peer(read, document):
    def _peer(spec, **named):
        return read(document("PeerAuthentication", spec, **named)).required()["peer_auths"]

    return _peer


@pytest.mark.parametrize(
    ("spec", "mode"),
    [
        ("{}", None),
        ("{mtls: {}}", None),
        ("{mtls: {mode: UNSET}}", None),
        ("{mtls: {mode: STRICT}}", "strict"),
        ("{mtls: {mode: PERMISSIVE}}", "permissive"),
        ("{mtls: {mode: DISABLE}}", "disable"),
    ],
)
def test_unset_inherits(peer, spec, mode):
    assert peer(spec)[0]["mode"] == mode


def test_ports_have_their_own_mode(peer):
    spec = """
selector: {matchLabels: {app: x}}
mtls: {mode: STRICT}
portLevelMtls: {80: {mode: DISABLE}, "81": {}}
"""
    [made] = peer(spec)
    assert made["selector"] == {"app": "x"}
    assert made["ports"] == {"80": "disable", "81": None}


def test_a_selector_in_the_root_namespace_means_nothing(peer):
    assert peer("{selector: {matchLabels: {a: b}}}", namespace="istio-system") == []
    assert len(peer("{mtls: {mode: STRICT}}", namespace="istio-system")) == 1


@pytest.fixture
def policy(read, document):
    def _policy(spec, **named):
        return read(document("AuthorizationPolicy", spec, **named)).required()["authorizations"][0]

    return _policy


@pytest.fixture
def rules(policy):
    def _rules(written, action="ALLOW"):
        return policy(f"{{action: {action}, rules: [{written}]}}", namespace="ns")["rules"]

    return _rules


def test_an_empty_spec_allows_nobody(policy):
    made = policy("{}")
    assert (made["action"], made["rules"], made["selector"]) == ("allow", [], {})


def test_a_missing_spec_is_an_empty_one(read):
    text = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: x}\n"
    assert read(text).required()["authorizations"][0]["rules"] == []


def test_an_empty_rule_matches_everything(rules):
    assert rules("{}") == [{"line": 4, "from": [], "to": [], "when": []}]


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ("*", "present"),
        ("a*", {"prefix": "a"}),
        ("*a", {"suffix": "a"}),
        ("a", {"exact": "a"}),
        ("a*b", {"exact": "a*b"}),
        ("*a*", {"suffix": "a*"}),
        ("a.b", {"exact": "a.b"}),
    ],
)
def test_stars_open_an_end(value, match):
    assert text_match(value) == match


def test_sources(rules):
    [rule] = rules(
        "{from: [{source: {principals: ['*'], notPrincipals: [td/ns/a/sa/b],"
        " requestPrincipals: [i/s], namespaces: [n*], notNamespaces: ['*m'],"
        " ipBlocks: [10.0.0.0/8], notIpBlocks: [10.1.1.1], remoteIpBlocks: ['::1']}},"
        " {source: {serviceAccounts: [sa, other/sb], notServiceAccounts: [sc]}}]}"
    )
    first, second = rule["from"]
    assert first["principals"] == {"any": ["present"], "none": [{"exact": "td/ns/a/sa/b"}]}
    assert first["request_principals"]["any"] == [{"exact": "i/s"}]
    assert first["namespaces"] == {"any": [{"prefix": "n"}], "none": [{"suffix": "m"}]}
    assert first["ip_blocks"] == {"any": ["10.0.0.0/8"], "none": ["10.1.1.1"]}
    assert first["remote_ip_blocks"]["any"] == ["::1"]
    assert second["service_accounts"] == {
        "any": [{"namespace": "ns", "name": "sa"}, {"namespace": "other", "name": "sb"}],
        "none": [{"namespace": "ns", "name": "sc"}],
    }


def test_operations(rules):
    [rule] = rules(
        "{to: [{operation: {hosts: ['*.Example.com'], ports: ['80'], notPorts: ['81'],"
        " methods: [GET], paths: [/a, /b/*, '*/c', '/d/{*}/e', '/f/{**}'], notPaths: ['*']}}]}"
    )
    [operation] = rule["to"]
    assert operation["ports"] == {"any": [80], "none": [81]}
    assert operation["methods"]["any"] == [{"exact": "GET"}]
    assert operation["paths"] == {
        "any": [
            {"exact": "/a"},
            {"prefix": "/b/"},
            {"suffix": "/c"},
            {"template": "/d/{*}/e"},
            {"template": "/f/{**}"},
        ],
        "none": ["present"],
    }
    assert operation["hosts"]["any"] == [{"suffix": ".Example.com"}]


@pytest.mark.parametrize(
    ("key", "values", "made"),
    [
        ("request.headers[X-A]", "b*", ({"request_header": "x-a"}, {"prefix": "b"})),
        ("source.ip", "10.0.0.0/8", ("source_ip", {"exact": "10.0.0.0/8"})),
        ("remote.ip", "10.0.0.1", ("remote_ip", {"exact": "10.0.0.1"})),
        ("destination.ip", "10.0.0.1", ("destination_ip", {"exact": "10.0.0.1"})),
        ("destination.port", "80", ("destination_port", {"exact": "80"})),
        ("source.namespace", "*", ("source_namespace", "present")),
        ("source.principal", "a", ("source_principal", {"exact": "a"})),
        ("source.serviceAccount", "sa", ("source_service_account", {"exact": "ns/sa"})),
        ("request.auth.principal", "a", ("request_principal", {"exact": "a"})),
        ("request.auth.audiences", "a", ("request_audiences", {"exact": "a"})),
        ("request.auth.presenter", "a", ("request_presenter", {"exact": "a"})),
        ("request.auth.claims[a]", "x", ({"request_claim": ["a"]}, {"exact": "x"})),
        ("request.auth.claims[a][b.c]", "x", ({"request_claim": ["a", "b.c"]}, {"exact": "x"})),
        ("connection.sni", "*.a", ("connection_sni", {"suffix": ".a"})),
        ("source.trustDomain", "td", ("source_principal", {"prefix": "td/ns/"})),
        ("source.trustDomain", "t*", ("source_principal", {"prefix": "t"})),
        ("source.trustDomain", "*.d", ("source_principal", {"regex": r"[^/]*\.d/ns/.*"})),
        ("source.trustDomain", "*", ("source_principal", "present")),
    ],
)
def test_conditions(rules, key, values, made):
    [rule] = rules(f"{{when: [{{key: '{key}', values: ['{values}']}}]}}")
    expected_key, match = made
    assert rule["when"] == [{"key": expected_key, "values": {"any": [match], "none": []}}]
    [rule] = rules(f"{{when: [{{key: '{key}', notValues: ['{values}']}}]}}")
    assert rule["when"] == [{"key": expected_key, "values": {"any": [], "none": [match]}}]


def test_a_trust_domain_is_asked_of_that_source_alone(rules):
    made = rules(
        "{from: [{source: {trustDomains: [td], namespaces: [a]}}, {source: {namespaces: [b]}}],"
        " to: [{operation: {methods: [GET]}}]}"
    )
    by_namespace = {r["from"][0]["namespaces"]["any"][0]["exact"]: r for r in made}
    assert [len(r["from"]) for r in made] == [1, 1]
    assert by_namespace["b"]["when"] == []
    assert by_namespace["a"]["when"] == [
        {"key": "source_principal", "values": {"any": [{"prefix": "td/ns/"}], "none": []}}
    ]
    assert all(r["to"] == made[0]["to"] for r in made)


@pytest.mark.parametrize(("action", "count"), [("ALLOW", 0), ("DENY", 1)])
def test_what_does_not_exist_never_allows_and_never_keeps_from_denying(rules, action, count):
    when = (
        "[{key: 'experimental.envoy.filters.a.b[c]', values: [x]}, {key: source.ip, values: [::1]}]"
    )
    made = rules(f"{{when: {when}}}".replace("::1", "10.0.0.1"), action)
    assert len(made) == count
    assert all([c["key"] for c in rule["when"]] == ["source_ip"] for rule in made)


def test_dry_run_is_an_annotation(read):
    text = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: x, annotations: {istio.io/dry-run: "true"}}
spec: {action: DENY, rules: [{}]}
"""
    [made] = read(text).required()["authorizations"]
    assert (made["dry_run"], made["action"]) == (True, "deny")


def test_rules_know_their_line(policy):
    spec = """
rules:
- from: [{source: {namespaces: [a]}}]
- from: [{source: {namespaces: [b]}}]
"""
    assert [r["line"] for r in policy(spec)["rules"]] == [6, 7]


@pytest.mark.parametrize(
    "spec", ["{action: AUDIT, rules: [{}]}", "{targetRefs: [{kind: Gateway, name: g}]}"]
)
def test_what_is_not_for_sidecars_decides_nothing(read, document, spec):
    result = read(document("AuthorizationPolicy", spec))
    assert result.required()["authorizations"] == []
    assert any(d.code == "MC0103" for d in result.diagnostics)


def test_custom_is_refused_and_would_deny(document):

    text = document("AuthorizationPolicy", "{action: CUSTOM, provider: {name: p}, rules: [{}]}")
    result = compile_mesh([Source("m", text)], 1)
    assert result.mesh is None
    assert "CUSTOM is not supported yet" in result.diagnostics[0].message
    mesh = compile_documents(parse([Source("m", text)]).documents, 1)
    assert mesh["authorizations"][0]["action"] == "deny"


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("{from: []}", "must not be empty"),
        ("{from:}", "which would constrain nothing"),
        ("{to: null}", "which would constrain nothing"),
        ("{from: [{}]}", "source: Required value"),
        ("{from: [{source: {}}]}", "would be anyone"),
        ("{from: [{source:}]}", "which would constrain nothing"),
        ("{from: [{source: {principals: []}}]}", "must not be empty"),
        ("{from: [{source: {principals: }}]}", "which would constrain nothing"),
        ("{from: [{source: {principals: ['']}}]}", "must not be empty"),
        ("{from: [{source: {principal: [a]}}]}", "unknown field"),
        ("{from: [{source: {ipBlocks: [a]}}]}", "is not an IP address or CIDR"),
        ("{from: [{source: {ipBlocks: [10.0.0.0/255.0.0.0]}}]}", "is not an IP address or CIDR"),
        ("{from: [{source: {ipBlocks: ['fe80::1%eth0']}}]}", "is not an IP address or CIDR"),
        ("{from: [{source: {serviceAccounts: ['*']}}]}", "is not a service account"),
        ("{from: [{source: {serviceAccounts: [a/b/c]}}]}", "is not a service account"),
        ("{from: [{source: {serviceAccounts: [a], namespaces: [b]}}]}", "Cannot set"),
        ("{to: [{operation: {}}]}", "would be anything"),
        ("{to: [{operation: {ports: [80]}}]}", "put it in quotes"),
        ("{to: [{operation: {ports: ['0']}}]}", "is not a port"),
        ("{to: [{operation: {ports: ['80-90']}}]}", "is not a port"),
        ("{to: [{operation: {paths: ['']}}]}", "cannot be empty"),
        ("{to: [{operation: {paths: ['/a{b}']}}]}", "braces"),
        ("{to: [{operation: {paths: ['/{**}/{*}']}}]}", "must be the last operator"),
        ("{to: [{operation: {paths: ['/{*}/a*']}}]}", "must be literal"),
        ("{when: []}", "must not be empty"),
        ("{when: [{key: source.ip}]}", "needs values or notValues"),
        ("{when: [{key: source.ip, values: [x]}]}", "is not an IP address"),
        ("{when: [{key: destination.port, values: [x]}]}", "is not a port"),
        ("{when: [{key: sourc.ip, values: [x]}]}", "unknown key"),
        ("{when: [{key: 'request.headers[]', values: [x]}]}", "unknown key"),
        ("{when: [{key: 'request.headers[a b]', values: [x]}]}", "unknown key"),
        ("{when: [{key: 'request.auth.claims[]', values: [x]}]}", "unknown key"),
        ("{when: [{values: [x]}]}", "key: Required value"),
    ],
)
def test_a_rule_that_could_not_be_decided_is_refused(errors, document, rule, message):
    rule = rule.replace(":}", ": }")
    found = errors(document("AuthorizationPolicy", f"{{rules: [{rule}]}}"))
    assert any(message in e.message for e in found), found


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{action: allow}", 'Unsupported value: "allow"'),
        ("{action: CUSTOM}", "needs provider.name"),
        ("{provider: {name: x}}", "needs the action CUSTOM"),
        ("{selector: {}, targetRefs: [{kind: a, name: b}]}", "only one of selector, targetRefs"),
        ("{selector: {matchLabels: {a: '*'}}}", "wildcard is not supported"),
        ("{rule: []}", 'did you mean "rules"'),
    ],
)
def test_policies_that_are_refused(errors, document, spec, message):
    found = errors(document("AuthorizationPolicy", spec))
    assert any(message in f"{e.message} {e.hint}" for e in found), found


@pytest.mark.parametrize(
    ("spec", "changed"),
    [
        ("{}", {}),
        (
            "{trustDomain: td, trustDomainAliases: [old]}",
            {"trust_domain": "td", "trust_domain_aliases": ["old"]},
        ),
        ("{outboundTrafficPolicy: {mode: REGISTRY_ONLY}}", {"outbound_policy": "registry_only"}),
        ("{rootNamespace: root, domain: d.e}", {"root_namespace": "root", "domain": "d.e"}),
        ("{enableAutoMtls: false}", {"auto_mtls": False}),
        (
            "{connectTimeout: 1s, protocolDetectionTimeout: 0s}",
            {"connect_timeout_ms": 1000, "detection_timeout_ms": 0},
        ),
        ("{pathNormalization: {normalization: BASE}}", {"path_normalization": "base"}),
        ("{pathNormalization: {normalization: DEFAULT}}", {"path_normalization": "base"}),
        ("{pathNormalization: {normalization: NONE}}", {"path_normalization": "none"}),
        (
            "{accessLogFile: /dev/stdout}",
            {"access_log": {"path": "/dev/stdout", "format": {"text": None}}},
        ),
        (
            "{accessLogFile: /a, accessLogFormat: '%X%'}",
            {"access_log": {"path": "/a", "format": {"text": "%X%"}}},
        ),
        (
            "{accessLogFile: /a, accessLogEncoding: JSON}",
            {"access_log": {"path": "/a", "format": "json"}},
        ),
    ],
)
def test_settings(read, document, spec, changed):
    settings = read(document("MeshConfig", spec)).required()["settings"]
    settings.pop("default_retries")
    assert settings == {
        "trust_domain": "cluster.local", "trust_domain_aliases": [], "domain": "cluster.local",
        "root_namespace": "istio-system", "outbound_policy": "allow_any", "auto_mtls": True,
        "connect_timeout_ms": 10_000, "detection_timeout_ms": 5000,
        "path_normalization": "decode_and_merge_slashes", "access_log": None, **changed,
    }  # fmt: skip
