import pytest

NOTHING = {
    "load_balancer": None,
    "connection_pool": None,
    "outlier_detection": None,
    "tls": None,
    "ports": [],
}
NO_LIMITS = {
    "max_connections": None, "connect_timeout_ms": None, "tcp_idle_timeout_ms": None,
    "max_connection_duration_ms": None, "keepalive": None, "max_pending_requests": None,
    "max_requests": None, "max_requests_per_connection": None, "max_retries": None,
    "http_idle_timeout_ms": None, "max_concurrent_streams": None, "h2_upgrade": "default",
    "use_client_protocol": False,
}  # fmt: skip


@pytest.fixture
def rule(read, document):
    def _rule(spec, **named):
        return read(document("DestinationRule", spec, **named)).required()["traffic_policies"][0]

    return _rule


@pytest.fixture
def policy(rule):
    def _policy(written):
        return rule(f"{{host: a, trafficPolicy: {written}}}")["policy"]

    return _policy


def test_a_rule_that_says_nothing(rule):
    made = rule("{host: reviews}", namespace="ns")
    assert made["host"] == "reviews.ns.svc.cluster.local"
    assert (made["policy"], made["subsets"], made["export_to"]) == (NOTHING, [], [])
    assert made["workload_selector"] is None


def test_subsets_keep_their_own_blocks(rule):
    spec = """
host: '*.Example.com'
workloadSelector: {matchLabels: {app: client}}
exportTo: ['.']
trafficPolicy: {loadBalancer: {simple: RANDOM}}
subsets:
- {name: v1, labels: {version: v1}}
- {name: v2, labels: {version: v2}, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}
"""
    made = rule(spec)
    assert made["host"] == "*.example.com"
    assert made["workload_selector"] == {"app": "client"}
    assert made["export_to"] == ["own"]
    assert made["subsets"][0] == {"name": "v1", "labels": {"version": "v1"}, "policy": NOTHING}
    assert made["subsets"][1]["policy"]["load_balancer"] == "round_robin"
    assert made["policy"]["load_balancer"] == "random"


def test_port_level_settings_stand_alone(policy):
    made = policy(
        "{loadBalancer: {simple: RANDOM}, tls: {mode: SIMPLE},"
        " portLevelSettings: [{port: {number: 80}, connectionPool: {tcp: {maxConnections: 1}}}]}"
    )
    [(number, port)] = made["ports"]
    assert number == 80
    assert port == {**NOTHING, "connection_pool": {**NO_LIMITS, "max_connections": 1}}


@pytest.mark.parametrize(
    ("written", "balancing"),
    [
        ("{}", "least_request"), ("{simple: UNSPECIFIED}", "least_request"),
        ("{simple: LEAST_REQUEST}", "least_request"), ("{simple: LEAST_CONN}", "least_request"),
        ("{simple: ROUND_ROBIN}", "round_robin"), ("{simple: RANDOM}", "random"),
        ("{simple: PASSTHROUGH}", "passthrough"),
        ("{consistentHash: {httpHeaderName: x}}", "least_request"),
    ],
)  # fmt: skip
def test_balancing(policy, written, balancing):
    assert policy(f"{{loadBalancer: {written}}}")["load_balancer"] == balancing


def test_limits(policy):
    written = """{connectionPool: {
      tcp: {maxConnections: 7, connectTimeout: 1500ms, idleTimeout: 0s, maxConnectionDuration: 1h,
            tcpKeepalive: {probes: 3, time: 7200s, interval: 1500ms}},
      http: {http1MaxPendingRequests: 1, http2MaxRequests: 2, maxRequestsPerConnection: 3,
             maxRetries: 4, idleTimeout: 5s, h2UpgradePolicy: UPGRADE, useClientProtocol: true,
             maxConcurrentStreams: 6}}}"""
    assert policy(written.replace("\n", ""))["connection_pool"] == {
        "max_connections": 7, "connect_timeout_ms": 1500, "tcp_idle_timeout_ms": 0,
        "max_connection_duration_ms": 3_600_000, "keepalive": (3, 7200, 2),
        "max_pending_requests": 1, "max_requests": 2, "max_requests_per_connection": 3,
        "max_retries": 4, "http_idle_timeout_ms": 5000, "max_concurrent_streams": 6,
        "h2_upgrade": "always", "use_client_protocol": True,
    }  # fmt: skip


def test_a_limit_of_zero_is_not_said(policy):
    written = "{connectionPool: {tcp: {maxConnections: 0}, http: {maxRequestsPerConnection: 0}}}"
    assert policy(written)["connection_pool"] == NO_LIMITS


@pytest.mark.parametrize(
    ("written", "changed"),
    [
        ("{}", {}),
        ("{consecutive5xxErrors: 0}", {"consecutive_5xx": 0}),
        ("{consecutiveErrors: 3}", {"consecutive_gateway_errors": 3}),
        ("{consecutiveGatewayErrors: 2}", {"consecutive_gateway_errors": 2}),
        ("{interval: 1s, baseEjectionTime: 1m}", {"interval_ms": 1000, "base_ejection_ms": 60_000}),
        (
            "{maxEjectionPercent: 100, minHealthPercent: 5}",
            {"max_ejection_percent": 100, "min_health_percent": 5},
        ),
        (
            "{splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 0}",
            {"split_local_errors": True, "consecutive_local_failures": 0},
        ),
    ],
)
def test_outlier_detection_has_istios_defaults(policy, written, changed):
    assert policy(f"{{outlierDetection: {written}}}")["outlier_detection"] == {
        "consecutive_5xx": 5, "consecutive_gateway_errors": 0, "consecutive_local_failures": 5,
        "split_local_errors": False, "interval_ms": 10_000, "base_ejection_ms": 30_000,
        "max_ejection_percent": 10, "min_health_percent": 0, **changed,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("written", "tls"),
    [
        ("{}", "disable"),
        ("{mode: DISABLE}", "disable"),
        (
            "{mode: ISTIO_MUTUAL, subjectAltNames: [a], sni: s}",
            {"istio_mutual": {"subject_alt_names": ["a"], "sni": "s"}},
        ),
        ("{mode: ISTIO_MUTUAL}", {"istio_mutual": {"subject_alt_names": [], "sni": None}}),
    ],
)
def test_a_tls_block_is_a_decision(policy, written, tls):
    assert policy(f"{{tls: {written}}}")["tls"] == tls


@pytest.mark.parametrize(
    ("written", "changed"),
    [
        ("{mode: SIMPLE}", {}),
        (
            "{mode: SIMPLE, caCertificates: /ca.pem, sni: s}",
            {"ca_certificates": "/ca.pem", "sni": "s"},
        ),
        ("{mode: SIMPLE, insecureSkipVerify: true}", {"insecure_skip_verify": True}),
        (
            "{mode: MUTUAL, clientCertificate: /c, privateKey: /k, subjectAltNames: [n]}",
            {"client_certificate": "/c", "private_key": "/k", "subject_alt_names": ["n"]},
        ),
    ],
)  # fmt: skip
def test_tls_to_the_outside(policy, written, changed):
    assert policy(f"{{tls: {written}}}")["tls"]["originate"] == {
        "client_certificate": None, "private_key": None, "ca_certificates": None,
        "subject_alt_names": [], "sni": None, "insecure_skip_verify": False, **changed,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{}", "host: Required value"),
        ("{host: ''}", "is not a host name"),
        ("{host: a, subsets: [{name: V1}]}", "is not a subset name"),
        ("{host: a, subsets: [{name: v}, {name: v}]}", "Duplicate value"),
        ("{host: a, trafficPolicy: {tls: {mode: MUTUAL}}}", "needs clientCertificate"),
        (
            "{host: a, trafficPolicy: {tls: {mode: ISTIO_MUTUAL, privateKey: /k}}}",
            "brings its own privateKey",
        ),
        (
            (
                "{host: a, trafficPolicy: {loadBalancer: {simple: RANDOM, consistentHash:"
                " {useSourceIp: true}}}}"
            ),
            "only one of simple, consistentHash",
        ),
        ("{host: a, trafficPolicy: {loadBalancer: {consistentHash: {}}}}", "must be given"),
        ("{host: a, trafficPolicy: {loadBalancer: {simple: FAST}}}", "Unsupported value"),
        ("{host: a, trafficPolicy: {connectionPool: {tcp: {connectTimeout: 0s}}}}", "at least 1ms"),
        ("{host: a, trafficPolicy: {connectionPool: {tcp: {maxConnections: -1}}}}", "at least 0"),
        ("{host: a, trafficPolicy: {outlierDetection: {maxEjectionPercent: 101}}}", "at most 100"),
        ("{host: a, trafficPolicy: {portLevelSettings: [{}]}}", "port: Required value"),
        (
            (
                "{host: a, trafficPolicy: {loadBalancer: {localityLbSetting: {distribute:"
                " [{from: a, to: {b: 90}}]}}}}"
            ),
            "must add up to 100",
        ),
    ],
)
def test_rules_that_are_refused(errors, document, spec, message):
    found = errors(document("DestinationRule", spec))
    assert any(message in e.message for e in found), found
