"""A mesh whose workloads register themselves, for several tests."""

import socket

from tests.integration.harness import Control, Mesh, Sidecar

SELECTED = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: reviews, namespace: default}
spec:
  hosts: [reviews.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 8080, name: http, protocol: HTTP}]
  workloadSelector: {labels: {app: reviews}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: default}
spec: {mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: reviews, namespace: default}
spec:
  selector: {matchLabels: {app: reviews}}
  rules: [{from: [{source: {principals: [cluster.local/ns/default/sa/web]}}]}]
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def registered(mesh: Mesh, control: Control, service: str, last: int, *options: object) -> Sidecar:
    return mesh.joined(
        control.secure, service, "--port", 8080, "--address", mesh.address(last),
        "--token", mesh.token(service), *options,
    )  # fmt: skip


def calls(mesh: Mesh, control: Control, service: str, last: int) -> Sidecar:
    return mesh.joined(
        control.secure, service, "--no-inbound", "--address", mesh.address(last),
        "--token", mesh.token(service),
    )  # fmt: skip
