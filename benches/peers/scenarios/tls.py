"""Mutual TLS: a sidecar takes no other."""

from benches.peers.loads import handshakes, requests
from benches.peers.scenario import Scenario, one, peers

_ALL = ("meshcore", "HAProxy", "nginx", "Envoy")

SCENARIOS = [
    Scenario(
        name="https",
        title="HTTPS with a client's certificate to HTTP/1.1, 32 connections",
        unit="us/request",
        measure=requests(32),
        rows=peers(*_ALL, accepts_tls=True),
        against="Envoy",
    ),
    Scenario(
        name="pair",
        title="Two sidecars with mutual TLS between them, HTTP/1.1",
        unit="us/request",
        measure=requests(32),
        rows={
            name: one(name, accepts_tls=True) + one(name, originates_tls=True)
            for name in ("meshcore", "Envoy")
        },
        against="Envoy",
    ),
    Scenario(
        name="handshakes",
        title="Full TLS 1.3 handshakes with a client's certificate, ECDSA P-256",
        unit="us/handshake",
        measure=handshakes,
        rows=peers(*_ALL, accepts_tls=True),
        against="Envoy",
    ),
]
