"""meshcore, as a user runs it: `meshcore run` with the wheel's release build."""

import json
import sys
from dataclasses import replace
from pathlib import Path

from benches.peers.native import program
from benches.peers.proxies.setting import HOST, Setting, path_of

from meshcore.config import Source, compile_mesh

# A hook for each value of `Setting.more`: reads a header and sets one.
HOOKS = {
    "inline": "",
    "cached": 'reads=["request.headers[x-tenant]"], cache="10m"',
    "queued": "blocking=True",
}
_PLUGIN = """
from meshcore.plugin import Decision, Request, allow, authorize, deny

PREMIUM = allow(set_headers={{"x-plan": "premium"}})


@authorize({options})
def tenant(request: Request) -> Decision:
    return PREMIUM if request.headers["x-tenant"] is not None else deny()
"""
_PROTOCOLS = {"http1": "HTTP", "http2": "HTTP2", "tcp": "TCP"}


def meshcore(setting: Setting) -> list[str]:
    """A sidecar: its outbound side, or its inbound side where clients use TLS or it authorizes.

    `more` may be one of `HOOKS`.
    """
    is_inbound = setting.inbound or setting.accepts_tls or setting.client_speaks == "tcp"
    # One side carries, the other is not used.
    outbound, inbound = (0, setting.port) if is_inbound else (setting.port, 0)
    mesh = setting.write("mesh.yaml", documents(setting))
    options = f"""run --service origin --address 127.0.0.1 --app 127.0.0.1:{setting.origin}
        --mesh {mesh} --state {setting.directory}/state --ready-file {ready_file(setting)}
        --concurrency 1 --log-level error --inbound-port {inbound} --outbound-port {outbound}
        --hbone-port 0 --admin-port 0 --health-port 0 --metrics-port 0"""
    if setting.accepts_tls or setting.originates_tls:
        folder = setting.certificates
        options += f" --cert {folder}/cert.pem --key {folder}/key.pem --ca {folder}/ca.pem"
    if setting.more:
        plugin = setting.write("plugin.py", _PLUGIN.format(options=HOOKS[setting.more]))
        options += f" --plugin {plugin}"
    return [str(Path(sys.executable).with_name("meshcore")), *options.split()]


def ready_file(setting: Setting) -> Path:
    """Returns the file that says where a sidecar listens."""
    return setting.directory / "ready.json"


def without_python(setting: Setting) -> list[str]:
    """The data plane of meshcore in a program that is Rust alone, with the same mesh."""
    sources = [Source("mesh.yaml", documents(setting))]
    mesh = setting.write("mesh.json", json.dumps(compile_mesh(sources, 1).required()))
    return [program("examples/serve"), str(mesh), str(node(setting))]


def node(setting: Setting) -> Path:
    """Writes who a data plane without a control side is; returns the file."""
    described = {
        "name": "origin",
        "namespace": "default",
        "identity": "spiffe://cluster.local/ns/default/sa/origin",
        "address": "127.0.0.1",
        "ports": [],
        "listen": {"outbound": f"127.0.0.1:{setting.port}"},
    }
    return setting.write("node.json", json.dumps(described))


def documents(setting: Setting) -> str:
    """Returns the mesh: the origin, how it is routed to, and who may call it."""
    protocol = _PROTOCOLS[setting.origin_speaks]
    endpoint, location = "address: 127.0.0.1", "MESH_EXTERNAL"
    if setting.originates_tls:
        labels = f'labels: {{meshcore.io/inbound-port: "{setting.origin}"}}'
        endpoint += f", serviceAccount: origin, {labels}"
        location = "MESH_INTERNAL"
    own = f"""apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: behind}}
spec:
  hosts: [{HOST}]
  ports: [{{number: 80, name: main, protocol: {protocol}, targetPort: {setting.origin}}}]
  location: {location}
  resolution: STATIC
  endpoints: [{{{endpoint}}}]
---
services:
  origin:
    port: 8080
    protocol: {protocol}
    endpoints: ["127.0.0.1:8080"]
"""
    return own + _mtls(setting) + _routes(setting.routes) + _rules(setting.rules)


def _mtls(setting: Setting) -> str:
    if setting.accepts_tls:
        mode = "STRICT"
    elif setting.client_speaks == "tcp":
        mode = "DISABLE"
    else:
        return ""
    return f"""---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default, namespace: istio-system}}
spec: {{mtls: {{mode: {mode}}}}}
"""


def _routes(routes: int) -> str:
    if routes == 1:
        return ""
    rules = "\n".join(
        f"  - match: [{{uri: {{prefix: {path_of(entry)}}}}}]\n"
        f"    route: [{{destination: {{host: {HOST}}}}}]"
        for entry in range(routes)
    )
    return f"""---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: origin}}
spec:
  hosts: [{HOST}]
  http:
{rules}
"""


def _rules(rules: int) -> str:
    if not rules:
        return ""
    each = "\n".join(
        f'  - to: [{{operation: {{methods: [GET], paths: ["{path_of(entry)}*"]}}}}]'
        for entry in range(rules)
    )
    return f"""---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: origin}}
spec:
  action: ALLOW
  rules:
{each}
"""


def swappable(setting: Setting) -> list[str]:
    """The data plane in a Python process, which swaps to a mesh with other routes when told."""
    mesh = setting.write("mesh.yaml", documents(setting))
    other = setting.write("other.yaml", documents(replace(setting, routes=setting.routes * 2)))
    serve = Path(__file__).parents[1] / "serve.py"
    return [sys.executable, str(serve), str(mesh), str(node(setting)), str(other)]
