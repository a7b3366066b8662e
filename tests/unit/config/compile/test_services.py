import pytest

from meshcore.config.compile.protocol import declared, selected


@pytest.mark.parametrize(
    ("number", "name", "app", "protocol"),
    [
        (80, "http", None, "http"), (80, "http-web", None, "http"), (80, "HTTP-x", None, "http"),
        (80, "http2", None, "http2"), (80, "http2-x", None, "http2"), (80, "grpc", None, "grpc"),
        (80, "grpc-web", None, "http2"), (80, "grpc-web-x", None, "http2"),
        (80, "grpc-api", None, "grpc"), (443, "https", None, "tls"), (443, "tls-x", None, "tls"),
        (80, "tcp-x", None, "tcp"), (1, "mongo", None, "tcp"), (1, "redis-a", None, "tcp"),
        (1, "mysql", None, "tcp"), (1, "udp", None, None), (80, "web", None, "detect"),
        (80, "httpx", None, "detect"), (80, "", None, "detect"), (3306, "", None, "tcp"),
        (25, "smtp", None, "tcp"), (53, "dns", None, "tcp"), (27017, "db", None, "tcp"),
        (3306, "http", None, "http"), (80, "tcp", "http", "http"), (80, "http", "tcp", "tcp"),
        (80, "x", "kubernetes.io/h2c", "http2"), (80, "x", "kubernetes.io/ws", "http"),
        (80, "x", "kubernetes.io/wss", "tls"), (80, "http", "example.com/own", "detect"),
    ],
)  # fmt: skip
def test_the_protocol_is_that_of_the_application_then_of_the_name(number, name, app, protocol):
    assert selected(number, name, app) == protocol


def test_the_protocol_of_an_entry_is_declared():
    assert [declared(p) for p in ("HTTP", "GRPC-WEB", "HTTPS", "MONGO", "UDP", "")] == [
        "http", "http2", "tls", "tcp", None, "detect",
    ]  # fmt: skip


@pytest.fixture
def service(read, document):
    def _service(spec, **named):
        return read(document("Service", spec, **named)).required()["services"][0]

    return _service


def test_a_kubernetes_service(service):
    spec = """
clusterIP: 10.1.2.3
clusterIPs: [10.1.2.3, "fd00::1"]
selector: {app: web}
type: LoadBalancer
ports:
- {name: http, port: 80, targetPort: 8080, nodePort: 30000}
- {name: grpc-x, port: 81, targetPort: api, protocol: TCP}
- {name: dns, port: 53, protocol: UDP}
"""
    made = service(spec, namespace="shop", name="web")
    assert made["host"] == "web.shop.svc.cluster.local"
    assert (made["name"], made["namespace"]) == ("web", "shop")
    assert made["addresses"] == ["10.1.2.3", "fd00::1"]
    assert (made["location"], made["resolution"]) == ("internal", "static")
    assert made["selector"] == {"app": "web"}
    assert [(p["number"], p["target_port"], p["target_port_name"]) for p in made["ports"]] == [
        (80, 8080, None),
        (81, None, "api"),
    ]


def test_a_headless_service_has_no_address(service):
    made = service("{clusterIP: None, clusterIPs: [None], selector: {a: b}, ports: [{port: 80}]}")
    assert (made["addresses"], made["resolution"]) == ([], "static")
    assert service("{clusterIP: None, ports: [{port: 80}]}")["resolution"] == "none"


def test_an_external_name_is_found_by_dns(service):
    made = service("{type: ExternalName, externalName: db.example.com, ports: [{port: 80}]}")
    assert (made["location"], made["resolution"], made["selector"]) == ("external", "dns", None)
    assert [e["address"] for e in made["endpoints"]] == ["db.example.com"]
    assert made["endpoints"][0]["mtls"] is False


def test_no_namespace_is_default(read):
    text = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}\n"
    assert read(text).required()["services"][0]["host"] == "a.default.svc.cluster.local"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{ports: [{port: 80}, {port: 81}]}", "needs a name"),
        ("{ports: [{port: 80, name: a}, {port: 81, name: a}]}", "Duplicate value"),
        ("{ports: [{port: 80, targetPort: 'a_b'}]}", "targetPort"),
        ("{ports: [{port: 80, targetPort: 0}]}", "targetPort"),
        ("{type: ExternalName}", "needs externalName"),
        ("{prots: []}", "unknown field"),
    ],
)
def test_services_that_are_refused(errors, document, spec, message):
    found = errors(document("Service", spec))
    assert any(message in e.message for e in found)
    assert len(found) == 1


@pytest.fixture
def entry(read, document):
    def _entry(spec, **named):
        return read(document("ServiceEntry", spec, **named)).required()["services"]

    return _entry


def test_an_entry_is_outside_of_the_mesh_unless_said(entry):
    [made] = entry("{hosts: [API.example.com], ports: [{number: 443, name: t, protocol: tls}]}")
    assert made["host"] == made["name"] == "api.example.com"
    assert (made["location"], made["resolution"], made["selector"]) == ("external", "none", None)
    assert made["ports"][0]["protocol"] == "tls"


def test_each_host_of_an_entry_is_a_service(entry):
    made = entry("{hosts: [a.example, '*.b.example'], addresses: [10.0.0.0/8], exportTo: [.]}")
    assert [s["host"] for s in made] == ["a.example", "*.b.example"]
    assert made[0]["origin"] == made[1]["origin"]
    assert made[1]["addresses"] == ["10.0.0.0/8"]
    assert made[1]["export_to"] == ["own"]


def test_hosts_of_an_entry_are_taken_as_they_are(entry):
    [made] = entry("{hosts: [short]}", namespace="ns")
    assert made["host"] == "short"


def test_a_host_like_kubernetes_has_a_short_name(entry):
    [made] = entry("{hosts: [a.ns.svc.cluster.local]}", namespace="ns")
    assert made["name"] == "a"
    [made] = entry("{hosts: [a.other.svc.cluster.local]}", namespace="ns")
    assert made["name"] == "a.other.svc.cluster.local"


def test_endpoints_of_an_entry(entry):
    spec = """
hosts: [a.example]
location: MESH_INTERNAL
resolution: STATIC
ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]
subjectAltNames: ["spiffe://x/ns/y/sa/z"]
endpoints:
- {address: 10.0.0.1, ports: {http: 81}, labels: {v: "1"}, locality: r/z/s, weight: 3}
- {address: 10.0.0.2, serviceAccount: sa}
- {address: 10.0.0.3, serviceAccount: sa, labels: {security.istio.io/tlsMode: disabled}}
- {address: 10.0.0.4, labels: {security.istio.io/tlsMode: istio}}
"""
    [made] = entry(spec, namespace="ns", name="se")
    assert made["ports"][0]["target_port"] == 8080
    assert made["subject_alt_names"] == ["spiffe://x/ns/y/sa/z"]
    first = made["endpoints"][0]
    assert (first["name"], first["namespace"], first["ports"]) == ("se", "ns", {"http": 81})
    assert (first["locality"], first["weight"], first["labels"]) == ("r/z/s", 3, {"v": "1"})
    assert [e["weight"] for e in made["endpoints"]] == [3, 1, 1, 1]
    assert [e["mtls"] for e in made["endpoints"]] == [False, True, False, True]
    assert [e["service_account"] for e in made["endpoints"]] == ["default", "sa", "sa", "default"]


def test_an_entry_selects_workloads(entry):
    [made] = entry("{hosts: [a.b], workloadSelector: {labels: {app: x}}, resolution: STATIC}")
    assert made["selector"] == {"app": "x"}
    [made] = entry("{hosts: [a.b], workloadSelector: {}}")
    assert made["selector"] is None


def test_of_an_entry_for_a_kubernetes_service_only_names_of_certificates_count(read, document):
    text = document("Service", "{ports: [{port: 80}]}", name="a") + "---\n"
    text += document(
        "ServiceEntry", "{hosts: [a.default.svc.cluster.local], subjectAltNames: [x]}", name="b"
    )
    [made] = read(text).required()["services"]
    assert (made["origin"]["kind"], made["subject_alt_names"]) == ("Service", ["x"])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{}", "hosts: Required value"),
        ("{hosts: []}", "must not be empty"),
        ("{hosts: ['*']}", "hostname cannot be wildcard"),
        ("{hosts: ['foo*']}", "is not a host name"),
        ("{hosts: [a], addresses: [1.2.3.4/99]}", "is not an IP address or CIDR"),
        ("{hosts: [a], ports: [{number: 80}]}", "name: Required value"),
        ("{hosts: [a], ports: [{number: 0, name: a}]}", "port must be between 1-65535"),
        ("{hosts: [a], ports: [{number: 1, name: a, protocol: x}]}", "unknown protocol"),
        (
            "{hosts: [a], ports: [{number: 1, name: a}, {number: 1, name: b}]}",
            "Duplicate value: the port 1",
        ),
        ("{hosts: [a], endpoints: [{address: 1.2.3.4}]}", "NONE mode cannot set endpoints"),
        (
            (
                "{hosts: [a], resolution: STATIC, endpoints: [{address: 1.2.3.4}],"
                " workloadSelector: {labels: {a: b}}}"
            ),
            "only one of workloadSelector, endpoints",
        ),
        (
            "{hosts: [a], resolution: STATIC, endpoints: [{address: 1.2.3.4, ports: {x: 1}}]}",
            "names the port 'x'",
        ),
        ("{hosts: [a], location: INSIDE}", "Unsupported value"),
        ("{hosts: [a], resolution: dns}", "Unsupported value"),
    ],
)
def test_entries_that_are_refused(errors, document, spec, message):
    found = errors(document("ServiceEntry", spec))
    assert any(message in e.message for e in found), found


@pytest.fixture
def workload(read, document):
    def _workload(spec, **named):
        return read(document("WorkloadEntry", spec, **named)).required()["workloads"][0]

    return _workload


def test_a_workload_that_says_nothing(workload):
    made = workload("{address: 10.0.0.1}", name="w", namespace="ns")
    made.pop("origin")
    assert made == {
        "name": "w", "namespace": "ns", "address": "10.0.0.1", "ports": {}, "labels": {},
        "service_account": "default", "locality": "", "weight": 1, "mtls": False,
        "inbound_port": None, "hbone_port": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "inbound", "hbone"),
    [
        ("{meshcore.io/inbound-port: '15006'}", 15006, None),
        ("{networking.istio.io/tunnel: http}", None, 15008),
        ("{networking.istio.io/tunnel: none}", None, None),
        ("{networking.istio.io/tunnel: http, meshcore.io/hbone-port: '16008'}", None, 16008),
        ("{meshcore.io/hbone-port: '16008'}", None, None),
    ],
)
def test_labels_say_where_a_sidecar_listens(workload, labels, inbound, hbone):
    made = workload(f"{{address: 10.0.0.1, labels: {labels}}}")
    assert (made["inbound_port"], made["hbone_port"]) == (inbound, hbone)


def test_labels_of_the_metadata_count_and_those_of_the_spec_win(read):
    text = """
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, labels: {a: meta, b: meta, service.istio.io/workload-name: group}}
spec: {address: "unix:///a.sock", labels: {b: spec}}
"""
    made = read(text).required()["workloads"][0]
    assert (made["labels"]["a"], made["labels"]["b"]) == ("meta", "spec")
    assert (made["name"], made["address"]) == ("group", "unix:///a.sock")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{}", "address must be given"),
        ("{address: '10.0.0.1:80'}", "neither an IP address nor a host name"),
        ("{address: 'a b'}", "neither an IP address nor a host name"),
        ("{address: 'unix://x'}", "absolute path or @name"),
        ("{address: a, ports: {'@': 1}}", "Invalid value"),
        ("{address: a, ports: {http: 0}}", "at least 1"),
        ("{address: a, labels: {meshcore.io/inbound-port: x}}", "must be a port number"),
        ("{address: a, labels: {meshcore.io/hbone-port: '70000'}}", "must be a port number"),
        ("{address: a, labels: {meshcore.io/inbound-port: 15006}}", "put it in quotes"),
        ("{address: a, weight: -1}", "at least 0"),
    ],
)
def test_workloads_that_are_refused(errors, document, spec, message):
    found = errors(document("WorkloadEntry", spec))
    assert any(message in e.message for e in found), found
