"""OpenSSL as the peer of an inbound listener: who is let in, and how it is encrypted."""

import re
import socket
import struct
import subprocess

import pytest

pytestmark = pytest.mark.needs("openssl")

MESH = """
mesh: {trustDomain: prod.example}
services:
  reviews:
    port: 9080
    endpoints: ["@11:9080"]
    allow: [web]
  web:
    port: 8080
    endpoints: ["@21:8080"]
"""
STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
"""
ASK = b"GET /by-openssl HTTP/1.1\r\nhost: reviews:9080\r\nconnection: close\r\n\r\n"
SNI = "outbound_.9080_._.reviews.default.svc.cluster.local"
# Source: IANA, TLS Supported Groups.
X25519MLKEM768, X25519 = 0x11EC, 0x001D
# Source: RFC 8446 section 4.1.3, the random of a HelloRetryRequest.
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


@pytest.fixture(scope="module")
def reviews(shared):
    shared.write(MESH)
    shared.write(STRICT, "strict.yaml")
    shared.program("application", 11, 9080, "v1")
    return shared.sidecar("reviews")


@pytest.fixture(scope="module")
def issue(shared, reviews):
    """Returns a function that makes a certificate with the authority of the mesh, or another."""
    del reviews

    def make(account, *, state="", domain="prod.example"):
        out = shared.directory / f"cert-{account}{state}{domain}"
        where = ["--state", shared.directory / state] if state else ["--mesh", shared.documents]
        done = shared.meshcore(
            "cert", "issue", "--service-account", account, "--out", out,
            "--trust-domain", domain, *where,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return out

    return make


def s_client(sidecar, *more, certificate=None, alpn="istio-http/1.1", ask=ASK):
    """Returns what a server says to OpenSSL, and what OpenSSL says of the connection."""
    chain = certificate and certificate / "cert-chain.pem"
    own = ["-cert", chain, "-cert_chain", chain, "-key", certificate / "key.pem"] if chain else []
    command = [
        "openssl", "s_client", "-connect", sidecar.addresses["inbound"], "-servername", SNI,
        "-alpn", alpn, "-ign_eof", *own, *more,
    ]  # fmt: skip
    done = subprocess.run(
        list(map(str, command)), input=ask, check=False, capture_output=True, timeout=20
    )
    return (done.stdout + done.stderr).decode(errors="replace")


def test_a_certificate_of_the_mesh_is_served(reviews, issue):
    web = issue("web")
    said = s_client(reviews, "-CAfile", web / "root-cert.pem", certificate=web)
    assert "HTTP/1.1 200" in said
    assert "URI=spiffe://prod.example/ns/default/sa/web" in said
    assert "ALPN protocol: istio-http/1.1" in said
    assert "Verify return code: 0 (ok)" in said
    assert "New, TLSv1.3" in said


def test_an_identity_that_is_not_allowed_is_denied_by_policy(reviews, issue):
    assert "HTTP/1.1 403" in s_client(reviews, certificate=issue("stranger"))


def test_without_a_certificate_nobody_is_let_in(reviews):
    said = s_client(reviews)
    assert "HTTP/1.1" not in said
    assert "alert certificate required" in said


def test_a_certificate_of_another_authority_is_refused(reviews, issue):
    said = s_client(reviews, certificate=issue("web", state="other"))
    assert "HTTP/1.1" not in said
    assert re.search(r"alert (unknown ca|bad certificate|decrypt error)", said)


WRONG = {
    "signed by itself": ("URI:spiffe://prod.example/ns/default/sa/web", "365", False),
    "of another trust domain": ("URI:spiffe://elsewhere.example/ns/default/sa/web", "365", True),
    "without a SPIFFE identity": ("DNS:web.prod.example", "365", True),
    "of yesterday": ("URI:spiffe://prod.example/ns/default/sa/web", "-1", True),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_certificate_is_refused(reviews, issue, shared, tmp_path, what):
    names, days, is_signed = WRONG[what]
    issue("web")  # so that there is an authority
    sign(shared.documents / ".meshcore/ca", tmp_path, names, days if is_signed else None)
    said = s_client(reviews, certificate=tmp_path)
    assert "HTTP/1.1" not in said
    assert re.search(r"SSL alert number (42|43|44|45|46|48)\n", said), said


WEAK = {
    "RSA of 1024 bits": (("-newkey", "rsa:1024"), ()),
    "SHA-1": ((), ("-sha1",)),
}


@pytest.mark.parametrize("what", WEAK)
def test_weak_cryptography_is_refused(reviews, issue, shared, tmp_path, what):
    issue("web")
    key, signature = WEAK[what]
    uri = "URI:spiffe://prod.example/ns/default/sa/web"
    sign(shared.documents / ".meshcore/ca", tmp_path, uri, "1", key=key, signature=signature)
    said = s_client(reviews, "-cipher", "ALL:@SECLEVEL=0", certificate=tmp_path)
    assert "HTTP/1.1" not in said
    assert re.search(r"SSL alert number (40|42|43|46|48|51)\n", said), said


def test_a_certificate_that_was_taken_back_is_refused(alone, tmp_path):
    alone.write(MESH)
    alone.program("application", 11, 9080, "v1")
    for account in ("web", "other", "reviews"):
        alone.meshcore(
            "cert", "issue", "--service-account", account, "--out", tmp_path / account,
            "--trust-domain", "prod.example", "--mesh", alone.documents,
        )  # fmt: skip
    crl = tmp_path / "ca-crl.pem"
    take_back(alone.documents / ".meshcore/ca", tmp_path, crl, tmp_path / "web/cert-chain.pem")
    given = tmp_path / "reviews"
    sidecar = alone.sidecar(
        "reviews", "--cert", given / "cert-chain.pem", "--key", given / "key.pem",
        "--ca", given / "root-cert.pem", "--crl", crl,
    )  # fmt: skip
    said = s_client(sidecar, certificate=tmp_path / "web")
    assert "HTTP/1.1" not in said
    assert "alert certificate revoked" in said
    said = s_client(sidecar, certificate=tmp_path / "other")
    assert "HTTP/1.1 403" in said, "let in, and denied by policy"


def take_back(authority, directory, crl, *certificates):
    """Writes a list of certificates that the authority has taken back."""
    (directory / "index").touch()
    (directory / "number").write_text("01\n")
    config = directory / "ca.conf"
    config.write_text(
        f"[ca]\ndefault_ca=ca\n[ca]\ndatabase={directory}/index\ncrlnumber={directory}/number\n"
        f"default_md=sha256\ndefault_crl_days=1\ncertificate={authority}/ca-cert.pem\n"
        f"private_key={authority}/ca-key.pem\n"
    )

    def ca(*command):
        subprocess.run(["openssl", "ca", "-config", config, *command], check=True,
                       capture_output=True)  # fmt: skip

    for certificate in certificates:
        ca("-revoke", certificate)
    ca("-gencrl", "-out", crl)


def test_that_way_a_right_certificate_is_served(reviews, issue, shared, tmp_path):
    issue("web")
    uri = "URI:spiffe://prod.example/ns/default/sa/web"
    sign(shared.documents / ".meshcore/ca", tmp_path, uri, "1")
    assert "HTTP/1.1 200" in s_client(reviews, certificate=tmp_path)


def sign(authority, out, names, days, **made_by):
    """Makes a certificate with OpenSSL; with the mesh's own authority, if `days` are given."""

    def openssl(*command):
        subprocess.run(["openssl", *command], check=True, capture_output=True, cwd=out)

    kind = made_by.get("key") or ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    request = (*kind, "-nodes", "-subj", "/CN=web", "-keyout", "key.pem",
               "-addext", f"subjectAltName={names}")  # fmt: skip
    if days is None:
        openssl("req", "-x509", *request, "-out", "cert-chain.pem")
        return
    openssl("req", *request, "-out", "request.pem")
    openssl(
        "x509", "-req", "-in", "request.pem", "-copy_extensions", "copy", "-days", days,
        "-CA", str(authority / "ca-cert.pem"), "-CAkey", str(authority / "ca-key.pem"),
        "-out", "cert-chain.pem", *made_by.get("signature", ()),
    )  # fmt: skip


@pytest.mark.parametrize("version", ["-tls1_1", "-tls1"])
def test_old_versions_are_refused(reviews, issue, version):
    said = s_client(reviews, version, "-cipher", "ALL:@SECLEVEL=0", certificate=issue("web"))
    assert "HTTP/1.1 200" not in said


def test_a_session_is_resumed(reviews, issue, tmp_path):
    web, session = issue("web"), tmp_path / "session"
    assert "HTTP/1.1 200" in s_client(reviews, "-sess_out", session, certificate=web)
    again = s_client(reviews, "-sess_in", session, certificate=web)
    assert "Reused, TLSv1.3" in again
    assert "URI=spiffe://prod.example/ns/default/sa/web" in again


def test_a_hybrid_key_exchange_is_offered(reviews):
    """A hello that knows only one group and has no share for it is asked for one of that group."""
    assert group_asked_for(reviews, [X25519MLKEM768]) == X25519MLKEM768
    assert group_asked_for(reviews, [X25519]) == X25519


def group_asked_for(sidecar, groups):
    with socket.create_connection(sidecar.host_port("inbound"), timeout=10) as connection:
        connection.sendall(client_hello(groups))
        with connection.makefile("rb") as stream:
            kind, _version, length = struct.unpack("!BHH", stream.read(5))
            assert kind == 22, "no handshake record"
            hello = stream.read(length)
    assert hello[6:38] == RETRY
    session = hello[38]
    extensions = hello[39 + session + 5 :]
    while extensions:
        kind, length = struct.unpack("!HH", extensions[:4])
        if kind == 51:
            return struct.unpack("!H", extensions[4 : 4 + length])[0]
        extensions = extensions[4 + length :]
    return None


def client_hello(groups):
    """Source: RFC 8446 section 4.1.2."""
    name = SNI.encode()
    listed = struct.pack(f"!{len(groups)}H", *groups)
    extensions = b"".join(
        struct.pack("!HH", kind, len(body)) + body
        for kind, body in [
            (0, struct.pack("!HBH", len(name) + 3, 0, len(name)) + name),
            (10, struct.pack("!H", len(listed)) + listed),
            (13, struct.pack("!HHH", 4, 0x0403, 0x0804)),
            (43, b"\x02\x03\x04"),
            (51, b"\x00\x00"),
        ]
    )
    body = b"\x03\x03" + bytes(32) + b"\x20" + bytes(32) + b"\x00\x02\x13\x01\x01\x00"
    body += struct.pack("!H", len(extensions)) + extensions
    handshake = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + struct.pack("!H", len(handshake)) + handshake
