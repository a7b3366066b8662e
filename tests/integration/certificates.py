"""Certificates that OpenSSL makes, as files and as documents."""

import base64
import subprocess


def openssl(*arguments, stdin=b""):
    done = subprocess.run(
        ["openssl", *map(str, arguments)], input=stdin, capture_output=True, check=False, timeout=30
    )
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


def certificate(directory, name, subject, issuer=None):
    """Makes a certificate for a name, of an authority or of its own."""
    key, pem = directory / f"{name}.key", directory / f"{name}.pem"
    signed = ["-CA", issuer[0], "-CAkey", issuer[1]] if issuer else []
    status, said = openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-days", "2", "-keyout", key, "-out", pem, "-subj", f"/CN={subject}",
        "-addext", f"subjectAltName=DNS:{subject}",
        "-addext", f"basicConstraints=critical,CA:{'TRUE' if name == 'ca' else 'FALSE'}", *signed,
    )  # fmt: skip
    assert status == 0, said
    return pem, key


def secret(name, pair, authority=None):
    def encoded(path):
        return base64.b64encode(path.read_bytes()).decode()

    more = f", ca.crt: {encoded(authority)}" if authority else ""
    data = f"data: {{tls.crt: {encoded(pair[0])}, tls.key: {encoded(pair[1])}{more}}}"
    head = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: default}}\n"
    return f"{head}type: kubernetes.io/tls\n{data}\n"
