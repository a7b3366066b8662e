"""What scanners of TLS find on every listener that speaks it.

The scanners know no mesh. Where a port is PERMISSIVE they would see the program behind it, so that
one is asked by OpenSSL, with a name of the mesh, for what they ask the others.
"""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.reliability import rig

SUITES = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
_OLD = ("-tls1", "-tls1_1", "-tls1_2")
_SIGNATURES = {"ecdsa-with-SHA256", "ecdsa-with-SHA384"}
_EC_BITS = 128  # as sslscan counts the strength of P-256
# About names and authorities of the public web: a mesh has its own, and renews after hours.
_PUBLIC = {
    "cert_trust", "cert_chain_of_trust", "cert_expirationStatus", "cert_notAfter",
    "cert_revocation", "DNS_CAArecord",
}  # fmt: skip
# A client without a certificate is told so after its handshake, which testssl now and then takes
# for no handshake, and gives up.
_TRIES = 5
# About the program that scans.
_SCANNER = {"engine_problem", "service"}


@dataclass
class Outcome:
    """What was found at a listener."""

    listener: str
    scanner: str
    checks: int
    findings: list[str] = field(default_factory=list)


def short() -> list[Outcome]:
    """sslscan and OpenSSL, in seconds."""
    return list(_each(with_testssl=False))


def full() -> list[Outcome]:
    """testssl too, which takes minutes."""
    return list(_each(with_testssl=True))


def _each(*, with_testssl: bool) -> Iterator[Outcome]:
    for mode in ("STRICT", "PERMISSIVE"):
        with (
            tempfile.TemporaryDirectory(prefix="meshcore-scan-") as made,
            rig.fast_origin(_readable(Path(made))) as origin,
            rig.meshcore(Path(made), origin, mtls=mode) as proxy,
        ):
            if mode == "PERMISSIVE":
                yield _openssl("inbound, PERMISSIVE", proxy.inbound)
                continue
            for name, port in (("inbound, STRICT", proxy.inbound), ("HBONE", proxy.hbone)):
                yield _sslscan(name, port)
                if with_testssl:
                    yield _testssl(name, port, Path(made))


def _readable(directory: Path) -> Path:
    directory.chmod(0o755)  # the origin may give up root
    return directory


def _sslscan(listener: str, port: int) -> Outcome:
    command = ["sslscan", "--xml=-", "--show-certificate", f"127.0.0.1:{port}"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    (test,) = ET.fromstring(said).iter("ssltest")  # noqa: S314 - written by sslscan
    found = list(_wrong(test))
    return Outcome(listener, "sslscan", len(test), found)


def _wrong(test: ET.Element) -> Iterator[str]:
    spoken = [p.get("version") for p in test.iter("protocol") if p.get("enabled") == "1"]
    if spoken != ["1.3"]:
        yield f"protocols {spoken}"
    suites = sorted(str(cipher.get("cipher")) for cipher in test.iter("cipher"))
    if suites != sorted(SUITES):
        yield f"cipher suites {suites}"
    yield from (f"weak group {g.attrib}" for g in test.iter("group") if int(g.get("bits", 0)) < 128)
    yield from (f"{b.attrib}" for b in test.iter("heartbleed") if b.get("vulnerable") != "0")
    for name in ("renegotiation", "compression"):
        yield from (
            f"{name} {one.attrib}" for one in test.iter(name) if one.get("supported") == "1"
        )
    certificates = [one for one in test.iter("certificate") if one.get("type") == "short"]
    for one in certificates:
        signature, key = one.findtext("signature-algorithm"), one.find("pk")
        if signature not in _SIGNATURES:
            yield f"signed by {signature}"
        if key is None or key.get("type") != "EC" or int(key.get("bits", 0)) < _EC_BITS:
            yield f"key {key is not None and key.attrib}"
    if not certificates:
        yield "no certificate was seen"


def _testssl(listener: str, port: int, directory: Path) -> Outcome:
    report = directory / f"testssl-{port}.json"
    command = [
        "testssl", "--quiet", "--color", "0", "--warnings", "batch", "--ip", "one", "--protocols",
        "--std", "--server-preference", "--fs", "--server-defaults", "--vulnerable", "--jsonfile",
        str(report), f"127.0.0.1:{port}",
    ]  # fmt: skip
    for _ in range(_TRIES):
        report.unlink(missing_ok=True)
        # Its exit status counts findings, those about the public web too.
        subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL)
        checks = json.loads(report.read_text())
        if not any(check["id"] == "scanTime" and check["severity"] == "WARN" for check in checks):
            break
    found = [
        f"{check['severity']} {check['id']}: {check['finding']}"
        for check in checks
        if check["severity"] not in {"OK", "INFO", "DEBUG"}
        and check["id"].partition(" ")[0] not in _PUBLIC | _SCANNER
    ]
    return Outcome(listener, "testssl", len(checks), found)


def _openssl(listener: str, port: int) -> Outcome:
    found = [f"{old} is spoken" for old in _OLD if _handshake(port, old, "-cipher", _ANY)]
    suites = [suite for suite in SUITES if _handshake(port, "-tls1_3", "-ciphersuites", suite)]
    if suites != list(SUITES):
        found.append(f"cipher suites {suites}")
    return Outcome(listener, "OpenSSL", len(_OLD) + len(SUITES), found)


_ANY = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"


def _handshake(port: int, *options: str) -> bool:
    """Whether OpenSSL and the listener agree on something."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-alpn", "istio", *options]
    done = subprocess.run(command, check=False, capture_output=True, text=True, input="")
    return "\nNew, TLS" in done.stdout


def table(outcomes: list[Outcome]) -> str:
    """Returns the figures, as Markdown."""
    lines = ["| listener | scanner | checks | findings |", "|---|---|---|---|"]
    lines += [
        f"| {o.listener} | {o.scanner} | {o.checks} | {'; '.join(o.findings) or 'none'} |"
        for o in outcomes
    ]
    return "\n".join(lines)
