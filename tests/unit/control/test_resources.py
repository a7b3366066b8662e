from collections import Counter

import pytest

from meshcore.config import Source, compile_mesh
from meshcore.control.resources import named, settings, together

MESH = """
services:
  web: {port: 80, endpoints: ["127.0.0.2:80"], allow: [api]}
  api: {port: 81, versions: {v1: ["127.0.0.3:80"], v2: ["127.0.0.4:80"]}, split: {v1: 1, v2: 99}}
---
apiVersion: v1
kind: Service
metadata: {name: Plain, namespace: x}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: plain, namespace: x}
spec: {ports: [{port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: e1, namespace: x}
spec: {hosts: [a.com, b.com], ports: [{number: 1, name: tcp, protocol: TCP}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: e2, namespace: x}
spec: {hosts: [a.com], ports: [{number: 2, name: tcp, protocol: TCP}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
"""


def parts(mesh):
    return [*named(mesh), settings(mesh["settings"])]


@pytest.fixture
def mesh():
    return compile_mesh([Source("mesh.yaml", MESH)], 4).required()


def test_resources_put_together_are_the_mesh(mesh):
    assert together((resource for _, resource in parts(mesh)), 4) == mesh


def test_no_two_resources_have_one_name(mesh):
    counts = Counter(name for name, _ in parts(mesh))
    assert set(counts.values()) == {1}
    assert counts.keys() >= {
        "settings/mesh",
        "service/x/plain.x.svc.cluster.local",
        "service/x/plain.x.svc.cluster.local/Plain",
        "service/x/a.com/e1",
        "service/x/a.com/e2",
        "service/default/web.default.svc.cluster.local/web",
        "workload/default/api-v1",
        "route/default/api",
        "policy/default/api",
        "peer_auth/default/default",
        "authorization/default/web-callers",
    }


def test_those_of_public_samples_have_one_name_each(cases):
    for path in (cases / "istio-samples").rglob("*.yaml"):
        mesh = compile_mesh([Source(str(path), path.read_text())], 1).mesh
        if mesh is not None:
            found = parts(mesh)
            assert len(dict(found)) == len(found), path
            assert together((resource for _, resource in found), 1) == mesh
