"""Gateways and Secrets to servers and credentials, and what is wrong with them."""

import base64

import pytest

from meshcore.errors import Severity

PEM = "-----BEGIN CERTIFICATE-----\nQQ==\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0c2VjcmV0\n-----END PRIVATE KEY-----\n"


def server(more: str = "", port: str = "number: 80, name: http, protocol: HTTP", hosts="[a.com]"):
    return f"{{port: {{{port}}}, hosts: {hosts}{more}}}"


def spec(*servers: str, selector: str = "{istio: ingressgateway}") -> str:
    return f"{{selector: {selector}, servers: [{', '.join(servers)}]}}"


def https(tls: str, name: str = "https") -> str:
    return server(f", tls: {{{tls}}}", f"number: 443, name: {name}, protocol: HTTPS")


def secret(name: str, body: str, kind: str = "kubernetes.io/tls", namespace: str = "default"):
    head = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
    return f"{head}type: {kind}\n{body}"


@pytest.fixture
def gateway(read, document):
    def _gateway(text: str):
        result = read(document("Gateway", text))
        assert [d for d in result.diagnostics if d.severity is Severity.ERROR] == []
        [made] = result.mesh["gateways"]
        return made

    return _gateway


def test_a_plain_server(gateway):
    made = gateway(spec(server()))
    assert made["selector"] == {"istio": "ingressgateway"}
    [only] = made["servers"]
    assert (only["port"], only["protocol"], only["tls"], only["line"]) == (80, "http", None, 4)
    assert only["hosts"] == [{"namespace": None, "host": "a.com"}]


@pytest.mark.parametrize(
    ("written", "namespace", "host"),
    [
        ("'*'", None, "*"),
        ("'*/*.A.com'", None, "*.a.com"),
        ("./a.com", "default", "a.com"),
        ("prod/a.com", "prod", "a.com"),
    ],
)
def test_hosts_say_whose_routes_may_be_bound(gateway, written, namespace, host):
    made = gateway(spec(server(hosts=f"[{written}]")))
    assert made["servers"][0]["hosts"] == [{"namespace": namespace, "host": host}]


@pytest.mark.parametrize(
    ("protocol", "tls", "expected"),
    [
        ("HTTP2", "", ("http", None)),
        ("GRPC-WEB", "", ("http", None)),
        ("MONGO", "", ("tcp", None)),
        ("HTTPS", "{mode: PASSTHROUGH}", ("tcp", "passthrough")),
        ("TLS", "{mode: SIMPLE, credentialName: c}", ("tcp", "simple")),
        ("HTTPS", "{mode: ISTIO_MUTUAL}", ("http", "istio_mutual")),
        ("HTTPS", "{mode: OPTIONAL_MUTUAL, credentialName: c}", ("http", "optional_mutual")),
    ],
)
def test_what_is_spoken_and_where_tls_ends(gateway, protocol, tls, expected):
    more = f", tls: {tls}" if tls else ""
    made = gateway(spec(server(more, f"number: 443, name: x, protocol: {protocol}")))
    [only] = made["servers"]
    assert (only["protocol"], only["tls"] and only["tls"]["mode"]) == expected


def test_all_of_tls(gateway):
    made = gateway(spec(https(
        "mode: MUTUAL, credentialNames: [rsa, ec], caCertCredentialName: ca, subjectAltNames: [x],"
        " minProtocolVersion: TLSV1_3, cipherSuites: [ECDHE-RSA-AES128-GCM-SHA256],"
        f" verifyCertificateHash: ['{'AB:' * 31}CD']"
    )))  # fmt: skip
    assert made["servers"][0]["tls"] == {
        "mode": "mutual",
        "certificates": [{"credential": "rsa"}, {"credential": "ec"}],
        "clients": {
            "ca_file": None, "crl_file": None, "credential": "ca", "names": ["x"],
            "key_hashes": [], "certificate_hashes": ["ab" * 31 + "cd"],
        },
        "min_version": "tls13",
        "max_version": "tls13",
        "cipher_suites": ["ECDHE-RSA-AES128-GCM-SHA256"],
    }  # fmt: skip


def test_files_and_redirects(gateway):
    files = "serverCertificate: /c, privateKey: /k, caCertificates: /ca, caCrl: /l"
    made = gateway(spec(server(", tls: {httpsRedirect: true}"), https(f"mode: MUTUAL, {files}")))
    plain, tls = made["servers"]
    assert (plain["https_redirect"], plain["tls"]) == (True, None)
    assert tls["tls"]["certificates"] == [{"files": {"certificate": "/c", "key": "/k"}}]
    assert (tls["tls"]["clients"]["ca_file"], tls["tls"]["clients"]["crl_file"]) == ("/ca", "/l")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{selector: {a: b}}", "servers"),
        ("{servers: []}", "must not be empty"),
        (spec(server(hosts="[]")), "must not be empty"),
        (spec(server(hosts="['~/a.com']")), "not a namespace"),
        (spec(server(hosts="['a*.com']")), "not a host name"),
        (spec(server(port="number: 0, name: x, protocol: HTTP")), "at least 1"),
        (spec(server(port="number: 80, name: x, protocol: SMTP")), "unsupported protocol"),
        (spec(server(port="number: 80, protocol: HTTP")), "Required"),
        (spec(server(), server()), "must be unique"),
        (spec(server(", bind: nowhere")), "not an IP address"),
        (spec(server(port="number: 443, name: x, protocol: HTTPS")), "must have TLS settings"),
        (spec(server(", tls: {mode: SIMPLE, credentialName: c}")), "cannot have TLS settings"),
        (spec(https("mode: SIMPLE")), "requires serverCertificate"),
        (spec(https("mode: SIMPLE, serverCertificate: c")), "requires privateKey"),
        (spec(https("mode: MUTUAL, serverCertificate: c, privateKey: k")), "caCertificates"),
        (spec(https("mode: ISTIO_MUTUAL, credentialName: c")), "certificates of the mesh"),
        (spec(https("mode: SIMPLE, credentialName: c, credentialNames: [d]")), "only one of"),
        (spec(https("mode: SIMPLE, credentialNames: [a, b, c]")), "more than 2"),
        (spec(https("mode: SIMPLE, credentialName: c, verifyCertificateHash: [xy]")), "SHA-256"),
        (spec(https("mode: SIMPLE, credentialName: c, verifyCertificateSpki: [eA==]")), "1 bytes"),
        (spec(https("mode: TLS")), "Unsupported value"),
    ],
)
def test_what_is_wrong_is_refused(errors, document, text, said):
    found = errors(document("Gateway", text))
    assert any(said in d.message for d in found), [str(d) for d in found]
    assert all(d.line for d in found)


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (spec(https("mode: SIMPLE, credentialName: gone")), "IST0101", "refuses every handshake"),
        (spec(https("mode: AUTO_PASSTHROUGH")), "MC0103", "not opened"),
        (spec(server(", bind: 'unix:///x'")), "MC0103", "unix socket"),
        (spec(https("mode: PASSTHROUGH, cipherSuites: [AES128-SHA]")), "MC0103", "not spoken"),
        (spec(https("mode: PASSTHROUGH, minProtocolVersion: TLSV1_0")), "MC0103", "TLS 1.2"),
        (spec(server(", defaultEndpoint: '127.0.0.1:1'")), "MC0103", "defaultEndpoint"),
    ],
)
def test_what_is_not_applied_is_said_at_its_line(found, document, text, code, said):
    hits = found(document("Gateway", text), code)
    assert any(said in d.message and d.line == 4 for d in hits), [str(d) for d in hits]


@pytest.mark.parametrize(
    ("other", "code", "said"),
    [
        (spec(server(port="number: 443, name: x, protocol: TCP")), "IST0145", "something else by"),
        (spec(https("mode: SIMPLE, credentialName: c")), "IST0145", "TLS host a.com"),
        (
            spec(https("mode: SIMPLE, credentialName: c").replace("[a.com]", "[b.com]")),
            "MC0106",
            "certificate c",
        ),
        (spec(https("mode: SIMPLE, credentialName: c"), selector="{istio: y}"), "IST0145", ""),
    ],
)
def test_two_gateways_that_want_one_port_or_certificate(found, document, other, code, said):
    one = document("Gateway", spec(https("mode: SIMPLE, credentialName: c")), name="one")
    hits = found(f"{one}---\n{document('Gateway', other, name='other')}", code)
    assert [said in d.message for d in hits] == ([True, True] if said else [])


def test_virtual_services_bound_to_what_is_not_there(found, document):
    rule = "http: [{directResponse: {status: 200}}]"
    bound = document("VirtualService", f"{{hosts: [b.com], gateways: [edge], {rule}}}")
    [gone] = found(bound, "IST0101")
    assert "there is no Gateway default/edge" in gone.message
    edge = document("Gateway", spec(server()), name="edge")
    [other] = found(f"{edge}---\n{bound}", "IST0132")
    assert "does not serve the host b.com" in other.message
    wide = document("Gateway", spec(server(hosts="['*']")), name="edge")
    assert not found(f"{wide}---\n{bound}", "IST0132")


def test_tls_routes_are_rules_by_server_name(read, document):
    text = (
        "{hosts: [a.com], gateways: [edge], tls: [{match: [{sniHosts: [A.com], port: 443},"
        " {sniHosts: [b.com], sourceSubnet: 10.0.0.0/8}], route: [{destination: {host: x}}]}]}"
    )
    [route] = read(document("VirtualService", text)).mesh["routes"]
    [rule] = route["tcp"]
    assert [match["sni_hosts"] for match in rule["matches"]] == [["a.com"]]
    assert rule["destinations"][0]["host"] == "x.default.svc.cluster.local"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_secrets_are_credentials_of_their_namespace(read):
    data = f"data: {{tls.crt: {encoded(PEM)}, tls.key: {encoded(KEY)}, ca.crt: {encoded(PEM)}}}\n"
    [made] = read(secret("web", data, namespace="edge")).mesh["credentials"]
    assert (made["certificate"], made["key"], made["authorities"]) == (PEM, KEY, PEM)
    assert (made["origin"]["namespace"], made["origin"]["name"]) == ("edge", "web")
    plain = "stringData:\n  cert: |\n    c\n  key: |\n    k\n  cacert: a\n"
    [generic] = read(secret("web", plain, "Opaque")).mesh["credentials"]
    assert (generic["certificate"], generic["key"], generic["authorities"]) == ("c\n", "k\n", "a")
    assert read(secret("other", "data: {password: eA==}\n", "Opaque")).mesh["credentials"] == []


@pytest.mark.parametrize(
    "body",
    [
        f"data: {{tls.crt: '{KEY[:40]!r} c2VjcmV0c2VjcmV0', tls.key: '?c2VjcmV0c2VjcmV0'}}\n",
        "data: {tls.key: [c2VjcmV0c2VjcmV0]}\n",
        "data: {tls.key: 'c2VjcmV0c2VjcmV0\n",
        "data: {tls.key: c2VjcmV0c2VjcmV0}\nstringdata: {x: c2VjcmV0c2VjcmV0}\n",
        "data: c2VjcmV0c2VjcmV0\n",
        "immutable: true\n",
    ],
)
def test_a_bad_secret_is_said_without_what_is_in_it(read, body):
    _is_silent(read(secret("web", body)))


@pytest.mark.parametrize(
    "document",
    [
        "kind:          Secret\napiVersion: v1\nmetadata: {name: w}\ntls: c2VjcmV0c2VjcmV0\n",
        "kind: !!str Secret\napiVersion: v1\nmetadata: {name: w}\ntls: c2VjcmV0c2VjcmV0\n",
        '{"metadata": {"name": "w"}, "apiVersion": "v1", "tls": "c2VjcmV0", "kind" :\n  "Secret"}',
        '{"kind":"secret","apiVersion":"v1","metadata":{"name":"w"},"data":{"x":"c2VjcmV0c2"}}',
        "kind: Secret\napiVersion: v1\nmetadata: c2VjcmV0c2VjcmV0\n",
        "kind: Secret\napiVersion: v1\nmetadata: {name: w}\nc2VjcmV0c2VjcmV0: x\n",
        "kind: Secret\napiVersion: v1\nmetadata: {name: w, c2VjcmV0c2VjcmV0: x}\n",
    ],
)
def test_a_secret_is_known_however_it_is_written(read, document):
    _is_silent(read(document))


def _is_silent(result):
    assert result.diagnostics
    said = "\n".join(f"{d.render()} {d.to_json()}" for d in result.diagnostics)
    assert "c2VjcmV0" not in said
