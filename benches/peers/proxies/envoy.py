"""Envoy."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from benches.peers.proxies.setting import ROOT, Setting, path_of

Config: TypeAlias = dict[str, Any]

_TYPE = "type.googleapis.com/envoy.extensions"
_HTTP2 = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": f"{_TYPE}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
}
_LUA = """
function envoy_on_request(handle)
  local headers = handle:headers()
  if headers:get("x-tenant") ~= nil then headers:add("x-plan", "premium") end
end
"""


def envoy(setting: Setting) -> list[str]:
    """A reverse proxy, or a relay of TCP.

    `more` may be `lua` (a script that reads a header and sets one), `ext_authz` (which asks the
    origin, as a server of authorization) or `tree` (a matcher tree instead of a list of routes).
    """
    chain: Config = {"filters": [_tcp() if setting.client_speaks == "tcp" else _http(setting)]}
    if setting.accepts_tls:
        context = _tls(setting, "DownstreamTlsContext")
        context["typed_config"]["require_client_certificate"] = True
        chain["transport_socket"] = context
    cluster: Config = {
        "name": "origin",
        "circuit_breakers": {"thresholds": [{"max_connections": 65536, "max_requests": 65536}]},
        "load_assignment": {
            "cluster_name": "origin",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(setting.origin)}}]}],
        },
    }
    if setting.origin_speaks == "http2":
        cluster["typed_extension_protocol_options"] = _HTTP2
    if setting.originates_tls:
        cluster["transport_socket"] = _tls(setting, "UpstreamTlsContext")
    listener = {
        "address": _address(setting.port),
        "filter_chains": [chain],
        "tcp_backlog_size": 4096,
    }
    bootstrap = {
        "admin": {"address": _address(0)},
        "static_resources": {"listeners": [listener], "clusters": [cluster]},
    }
    path = setting.write("envoy.json", json.dumps(bootstrap))
    (binary,) = ROOT.glob(".oracle-venv/lib/python3*/site-packages/envoy/_bin/envoy")
    quiet = ["--log-level", "off", "--use-dynamic-base-id"]
    admin = ["--admin-address-path", str(setting.directory / "admin")]
    return [str(binary), "-c", str(path), "--concurrency", "1", *quiet, *admin]


def _tcp() -> Config:
    kind = f"{_TYPE}.filters.network.tcp_proxy.v3.TcpProxy"
    config = {"@type": kind, "stat_prefix": "in", "cluster": "origin"}
    return {"name": "tcp", "typed_config": config}


def _http(setting: Setting) -> Config:
    config = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "codec_type": "HTTP2" if setting.client_speaks == "http2" else "HTTP1",
        "http_filters": [*_filters(setting), _filter("router.v3.Router", {})],
        "route_config": {"virtual_hosts": [_virtual_host(setting)]},
    }
    return {"name": "http", "typed_config": config}


def _virtual_host(setting: Setting) -> Config:
    host: Config = {"name": "origin", "domains": ["*"]}
    if setting.routes == 1:
        return host | {"routes": [_route("/")]}
    paths = [path_of(entry) for entry in range(setting.routes)]
    if setting.more != "tree":
        return host | {"routes": [_route(path) for path in paths]}
    action = f"{_TYPE.replace('extensions', 'config')}.route.v3.Route"
    tree = {
        path: {"action": {"name": "route", "typed_config": {"@type": action} | _route(path)}}
        for path in paths
    }
    path_input = {
        "name": "path",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
            "header_name": ":path",
        },
    }
    return host | {
        "matcher": {"matcher_tree": {"input": path_input, "prefix_match_map": {"map": tree}}}
    }


def _route(prefix: str) -> Config:
    return {"match": {"prefix": prefix}, "route": {"cluster": "origin"}}


def _filters(setting: Setting) -> Sequence[Config]:
    if setting.rules:
        return [_filter("rbac.v3.RBAC", {"rules": _rbac(setting.rules)})]
    if setting.more == "lua":
        return [_filter("lua.v3.Lua", {"default_source_code": {"inline_string": _LUA}})]
    if setting.more == "ext_authz":
        server = {"uri": "http://origin", "cluster": "origin", "timeout": "1s"}
        return [_filter("ext_authz.v3.ExtAuthz", {"http_service": {"server_uri": server}})]
    return []


def _rbac(rules: int) -> Config:
    def policy(entry: int) -> Config:
        path = {"url_path": {"path": {"prefix": path_of(entry)}}}
        method = {"header": {"name": ":method", "string_match": {"exact": "GET"}}}
        return {
            "permissions": [{"and_rules": {"rules": [path, method]}}],
            "principals": [{"any": True}],
        }

    return {"action": "ALLOW", "policies": {f"{entry:02}": policy(entry) for entry in range(rules)}}


def _filter(kind: str, config: Mapping[str, object]) -> Config:
    return {
        "name": kind,
        "typed_config": {"@type": f"{_TYPE}.filters.http.{kind}", **config},
    }


def _tls(setting: Setting, kind: str) -> Config:
    folder = setting.certificates
    common = {
        "tls_params": {f"tls_{end}imum_protocol_version": "TLSv1_3" for end in ("min", "max")},
        "tls_certificates": [
            {
                "certificate_chain": {"filename": f"{folder}/cert.pem"},
                "private_key": {"filename": f"{folder}/key.pem"},
            }
        ],
        "validation_context": {"trusted_ca": {"filename": f"{folder}/ca.pem"}},
    }
    config: Config = {
        "@type": f"{_TYPE}.transport_sockets.tls.v3.{kind}",
        "common_tls_context": common,
    }
    if kind == "DownstreamTlsContext":
        config["disable_stateless_session_resumption"] = True
        config["disable_stateful_session_resumption"] = True
    return {"name": "tls", "typed_config": config}


def _address(port: int) -> Config:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
