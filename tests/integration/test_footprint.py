"""What a sidecar takes: bounds so wide that only a mistake exceeds them."""

import json
import socket
import sys

from tests.integration.harness import curl, eventually

MESH = """
services:
  web:
    port: 8080
    endpoints: ["@21:8080"]
"""
READY_WITHIN_SECONDS = 3.0
IDLE_BYTES = 80 << 20


def test_start_and_memory(alone, record_property, capsys):
    alone.write(MESH)
    alone.program("application", 21, 8080, "web")
    sidecar = alone.sidecar("web")
    sidecar.scrape()
    memory = sidecar.memory_bytes()
    record_property("ready_after_seconds", sidecar.ready_after_seconds)
    record_property("idle_bytes", memory)
    with capsys.disabled():
        sys.stdout.write(f"\nready after {sidecar.ready_after_seconds:.2f} s,")
        sys.stdout.write(f" {memory >> 20} MiB idle\n")
    assert sidecar.ready_after_seconds < READY_WITHIN_SECONDS
    assert memory < IDLE_BYTES


def test_a_thousand_idle_connections_cost_little(alone):
    alone.write(MESH)
    sidecar = alone.sidecar("web")
    sidecar.scrape()
    before = sidecar.memory_bytes()
    opened = [socket.create_connection(sidecar.host_port("outbound")) for _ in range(1000)]
    eventually(lambda: "meshcore_connections_open 1000\n" in sidecar.scrape())
    grown = sidecar.memory_bytes() - before
    for connection in opened:
        connection.close()
    assert grown < 20 << 20
    eventually(lambda: "meshcore_connections_open 0\n" in sidecar.scrape())


def test_health_and_status_without_traffic(alone):
    alone.write(MESH)
    sidecar = alone.sidecar("web")
    health = curl(f"http://{sidecar.addresses['health']}/healthz/ready")
    assert health.code == 200
    assert sidecar.status()["state"] == "ready"
    assert json.loads(sidecar.ready_file.read_text())["pid"] == sidecar.pid
