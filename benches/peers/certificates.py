"""Certificates of a mesh of its own, made by OpenSSL."""

import subprocess
from pathlib import Path

from benches.peers.proxies.setting import HOST

# Carried by every certificate here, of clients and of servers.
IDENTITY = "spiffe://cluster.local/ns/default/sa/origin"

_EXTENSIONS = f"""
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = URI:{IDENTITY}, DNS:{HOST}
"""


def make(folder: Path) -> Path:
    """Writes `ca.pem`, `cert.pem`, `key.pem` (ECDSA P-256) and `both.pem`; returns the folder."""
    folder.mkdir()
    (folder / "extensions").write_text(_EXTENSIONS)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    authority = ["-subj", "/O=bench", "-keyout", "ca-key.pem", "-out", "ca.pem", "-days", "2"]
    authority += ["-addext", "keyUsage = critical, keyCertSign"]
    _openssl(folder, "req", "-x509", *key, *authority)
    _openssl(folder, "req", *key, "-subj", "/", "-keyout", "key.pem", "-out", "request.pem")
    signed = ["-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial"]
    signed += ["-extfile", "extensions", "-out", "cert.pem", "-days", "2"]
    _openssl(folder, "x509", "-req", *signed)
    (folder / "both.pem").write_text(
        (folder / "cert.pem").read_text() + (folder / "key.pem").read_text()
    )
    for file in folder.iterdir():
        file.chmod(0o644)  # some proxies give up root
    return folder


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
