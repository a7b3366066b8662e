"""Each proxy with one worker, doing the same: HTTP/1.1 in, one route, HTTP/1.1 to one origin.

No access log anywhere; connections to the origin are kept and reused.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from meshcore.config import Source, compile_mesh

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Setting:
    """Where a proxy listens and what it forwards to, on 127.0.0.1."""

    directory: Path
    port: int
    origin: int

    def write(self, name: str, text: str) -> Path:
        """Writes a file for the proxy; returns its path."""
        path = self.directory / name
        path.write_text(text)
        return path


def origin(directory: Path, port: int) -> list[str]:
    """Returns the command of the origin: nginx, which answers 1 KiB from memory."""
    body = "x" * 1024
    location = f"location / {{ default_type text/plain; return 200 '{body}'; }}"
    return nginx_command(Setting(directory, port, 0), "origin", location)


def nginx_command(setting: Setting, name: str, location: str, http: str = "") -> list[str]:
    """Returns the command of an nginx with one location."""
    path = setting.write(
        f"{name}.conf",
        f"""daemon off; master_process off; worker_processes 1; pid {setting.directory}/{name}.pid;
error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_temp_path {setting.directory}/{name}-t;
  proxy_temp_path {setting.directory}/{name}-p; fastcgi_temp_path {setting.directory}/{name}-f;
  uwsgi_temp_path {setting.directory}/{name}-u; scgi_temp_path {setting.directory}/{name}-s;
  {http}
  server {{ listen 127.0.0.1:{setting.port}; {location} }}
}}
""",
    )
    return ["nginx", "-p", str(setting.directory), "-e", "stderr", "-c", str(path)]


def nginx(setting: Setting) -> list[str]:
    """A reverse proxy."""
    upstream = (
        f"upstream origin {{ server 127.0.0.1:{setting.origin}; keepalive 256;"
        " keepalive_requests 100000000; }"
    )
    location = (
        "location / { proxy_pass http://origin; proxy_http_version 1.1;"
        " proxy_set_header Connection ''; proxy_set_header Host $host; }"
    )
    return nginx_command(setting, "nginx", location, upstream)


def haproxy(setting: Setting) -> list[str]:
    """HAProxy."""
    path = setting.write(
        "haproxy.cfg",
        f"""global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend in
  bind 127.0.0.1:{setting.port}
  default_backend origin
backend origin
  server one 127.0.0.1:{setting.origin}
""",
    )
    return ["haproxy", "-db", "-q", "-f", str(path)]


def envoy(setting: Setting) -> list[str]:
    """Envoy."""
    router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
    manager = (
        "type.googleapis.com/envoy.extensions.filters.network."
        "http_connection_manager.v3.HttpConnectionManager"
    )
    http = {
        "@type": manager,
        "stat_prefix": "in",
        "http_filters": [{"name": "router", "typed_config": {"@type": router}}],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "origin",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "origin"}}],
                }
            ]
        },
    }
    bootstrap = {
        "static_resources": {
            "listeners": [
                {
                    "address": _address(setting.port),
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": http}]}],
                }
            ],
            "clusters": [
                {
                    "name": "origin",
                    "load_assignment": {
                        "cluster_name": "origin",
                        "endpoints": [
                            {"lb_endpoints": [{"endpoint": {"address": _address(setting.origin)}}]}
                        ],
                    },
                }
            ],
        }
    }
    path = setting.write("envoy.json", json.dumps(bootstrap))
    (binary,) = ROOT.glob(".oracle-venv/lib/python3*/site-packages/envoy/_bin/envoy")
    quiet = ["--log-level", "off", "--use-dynamic-base-id"]
    return [str(binary), "-c", str(path), "--concurrency", "1", *quiet]


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def meshcore(setting: Setting) -> list[str]:
    """meshcore: the data plane in a Python process, as a sidecar's outbound side."""
    mesh = setting.write("mesh.yaml", _mesh(setting.origin))
    node = _node(setting)
    return [sys.executable, str(Path(__file__).with_name("serve.py")), str(mesh), str(node)]


def without_python(setting: Setting) -> list[str]:
    """The data plane of meshcore in a program that is Rust alone."""
    sources = [Source("mesh.yaml", _mesh(setting.origin))]
    mesh = setting.write("mesh.json", json.dumps(compile_mesh(sources, 1).required()))
    node = _node(setting)
    manifest = ["--manifest-path", str(ROOT / "Cargo.toml"), "-p", "meshcore-proxy"]
    serve = ["cargo", "run", "--quiet", "--release", "--locked", *manifest, "--example", "serve"]
    return [*serve, "--", str(mesh), str(node)]


def _mesh(origin: int) -> str:
    return f"""apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: origin}}
spec:
  hosts: [origin.test]
  ports: [{{number: 80, name: http, protocol: HTTP, targetPort: {origin}}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1}}]
"""


def _node(setting: Setting) -> Path:
    node = {
        "name": "bench",
        "namespace": "default",
        "identity": "spiffe://cluster.local/ns/default/sa/bench",
        "address": "127.0.0.1",
        "ports": [],
        "listen": {"outbound": f"127.0.0.1:{setting.port}"},
    }
    return setting.write(f"node-{setting.port}.json", json.dumps(node))


PROXIES: dict[str, Callable[[Setting], list[str]]] = {
    "meshcore": meshcore,
    "HAProxy": haproxy,
    "nginx": nginx,
    "Envoy": envoy,
}
# Measured only when they are named.
OTHERS: dict[str, Callable[[Setting], list[str]]] = {"without-python": without_python}
