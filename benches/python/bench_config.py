"""What do 1,000 services cost on their way from YAML to the data plane? Time for all of them.

`make bench-python`. Each step asserts its answer before it is timed.
"""

import json

import pytest

from meshcore.config import Source, compile_mesh
from meshcore.config.parse import parse
from meshcore.native import Options, Proxy

SERVICES = 1_000
_SERVICE = """  service-{number}:
    port: 8080
    versions: {{v1: ["10.{high}.{low}.1:8080"], v2: ["10.{high}.{low}.2:8080"]}}
    split: {{v1: 90, v2: 10}}
    allow: [service-0]
    timeout: 2s
"""
_NODE = {
    "name": "service-0",
    "namespace": "default",
    "identity": "spiffe://cluster.local/ns/default/sa/service-0",
    "address": "127.0.0.1",
    "ports": [],
    "listen": {"outbound": "127.0.0.1:0"},
}


@pytest.fixture(scope="module")
def source() -> Source:
    services = (
        _SERVICE.format(number=number, high=number // 256, low=number % 256)
        for number in range(SERVICES)
    )
    return Source("mesh.yaml", "services:\n" + "".join(services))


@pytest.fixture(scope="module")
def mesh(source) -> dict:
    return compile_mesh([source], 1).required()


def bench_parse(benchmark, source):
    """YAML to typed documents."""
    parsed = parse([source])
    assert len(parsed.documents) >= SERVICES
    benchmark.pedantic(parse, args=([source],), rounds=5)


def bench_parse_check_and_compile(benchmark, source, mesh):
    """YAML to the mesh model: what a child process does when a file is saved."""
    assert len(mesh["services"]) == SERVICES
    benchmark.pedantic(compile_mesh, args=([source], 1), rounds=5)


def bench_apply(benchmark, mesh):
    """The mesh model, as JSON, over the border and into force."""
    options = Options(workers=1)
    proxy = Proxy(json.dumps(mesh).encode(), json.dumps(_NODE).encode(), options)
    revisions = iter(range(2, 1_000))

    def next_one() -> tuple[tuple[bytes], dict]:
        return (json.dumps(mesh | {"revision": next(revisions)}).encode(),), {}

    assert proxy.apply(next_one()[0][0]) == 2
    benchmark.pedantic(proxy.apply, setup=next_one, rounds=20)
    proxy.stop()
