import pytest

FULL = """
metadata: {labels: {team: blue, app: overridden}}
template:
  serviceAccount: sa
  labels: {app: web}
  ports: {http: 8080}
  weight: 3
probe:
  initialDelaySeconds: 2
  timeoutSeconds: 3
  periodSeconds: 4
  successThreshold: 5
  failureThreshold: 6
"""


@pytest.fixture
def group(read, document):
    def _group(spec):
        (made,) = read(document("WorkloadGroup", spec, "shop", "web")).required()["workload_groups"]
        return made

    return _group


def test_all_of_a_group(group):
    made = group(FULL + "  tcpSocket: {port: 90, host: 127.0.0.9}\n")
    assert made["origin"]["kind"] == "WorkloadGroup"
    assert (made["name"], made["namespace"]) == ("web", "shop")
    assert made["labels"] == {"team": "blue", "app": "web"}
    assert made["ports"] == {"http": 8080}
    assert (made["service_account"], made["weight"]) == ("sa", 3)
    assert made["probe"] == {
        "initial_delay_ms": 2000,
        "timeout_ms": 3000,
        "period_ms": 4000,
        "success_threshold": 5,
        "failure_threshold": 6,
        "check": {"tcp": {"port": 90, "host": "127.0.0.9"}},
    }


def test_what_is_not_said_is_as_in_istio(group):
    made = group("{template: {}, probe: {tcpSocket: {port: 90}}}")
    assert (made["service_account"], made["weight"], made["locality"]) == ("default", 1, "")
    assert made["probe"] == {
        "initial_delay_ms": 0,
        "timeout_ms": 1000,
        "period_ms": 10_000,
        "success_threshold": 1,
        "failure_threshold": 3,
        "check": {"tcp": {"port": 90, "host": None}},
    }
    assert group("{template: {}}")["probe"] is None


@pytest.mark.parametrize(
    ("written", "check"),
    [
        (
            "httpGet: {port: 80, httpHeaders: [{name: X-A, value: b}]}",
            {
                "http": {
                    "path": "/",
                    "port": 80,
                    "host": None,
                    "scheme": "http",
                    "headers": [("X-A", "b")],
                }
            },
        ),
        (
            "httpGet: {port: 80, path: ready, scheme: HTTPS, host: h}",
            {
                "http": {
                    "path": "/ready",
                    "port": 80,
                    "host": "h",
                    "scheme": "https",
                    "headers": [],
                }
            },
        ),
        ("exec: {command: [cat, /ready]}", {"exec": {"command": ["cat", "/ready"]}}),
        ("grpc: {port: 80}", {"grpc": {"port": 80, "service": ""}}),
    ],
)
def test_probes(group, written, check):
    assert group(f"{{template: {{}}, probe: {{{written}}}}}")["probe"]["check"] == check


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("{}", "template: Required value"),
        ("{template: {}, probe: {}}", "one of httpGet, tcpSocket, exec, grpc must be given"),
        (
            "{template: {}, probe: {tcpSocket: {port: 1}, grpc: {port: 1}}}",
            "only one of httpGet, tcpSocket, exec, grpc may be given",
        ),
        ("{template: {}, probe: {tcpSocket: {port: 0}}}", "port: must be at least 1"),
        ("{template: {}, probe: {tcpSocket: {port: 1}, periodSeconds: -1}}", "must be at least 0"),
        ("{template: {}, probe: {exec: {command: []}}}", "command: must not be empty"),
        ("{template: {}, probe: {exec: {command: [a, '']}}}", "command: has an empty word"),
        ("{template: {}, probe: {httpGet: {port: 1, scheme: ftp}}}", "Unsupported value"),
        ("{template: {}, prob: {}}", "prob: unknown field"),
        ("{template: {ports: {'': 1}}}", "is not a port name"),
    ],
)
def test_what_is_refused(errors, document, spec, why):
    assert any(why in error.message for error in errors(document("WorkloadGroup", spec)))


def test_an_address_means_nothing(found, document):
    (finding,) = found(document("WorkloadGroup", "{template: {address: 1.2.3.4}}"))
    assert "each workload brings its own" in finding.message
