"""HAProxy."""

from benches.peers.proxies.setting import Setting, path_of


def haproxy(setting: Setting) -> list[str]:
    """A reverse proxy, or a relay of TCP with splice."""
    is_tcp = setting.client_speaks == "tcp"
    mode = (
        "mode tcp\n  option splice-auto"
        if is_tcp
        else "mode http\n  http-reuse always\n  option http-ignore-probes"
    )
    bind = " proto h2" if setting.client_speaks == "http2" else ""
    if setting.accepts_tls:
        folder = setting.certificates
        bind = (
            f" ssl crt {folder}/both.pem ca-file {folder}/ca.pem verify required"
            " ssl-min-ver TLSv1.3 no-tls-tickets"
        )
    server = " proto h2" if setting.origin_speaks == "http2" else ""
    path = setting.write(
        "haproxy.cfg",
        f"""global
  nbthread 1
  maxconn 4096
  tune.ssl.cachesize 0
defaults
  {mode}
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend in
  bind 127.0.0.1:{setting.port}{bind} backlog 4096
  {_rules(setting)}
  {_routes(setting)}
backend origin
  server one 127.0.0.1:{setting.origin}{server}
""",
    )
    return ["haproxy", "-db", "-q", "-f", str(path)]


def _routes(setting: Setting) -> str:
    if setting.routes == 1:
        return "default_backend origin"
    lines = "".join(f"{path_of(entry)} origin\n" for entry in range(setting.routes))
    return f"use_backend %[path,map_beg({setting.write('routes.map', lines)})]"


def _rules(setting: Setting) -> str:
    if not setting.rules:
        return ""
    named = "\n  ".join(
        f"acl rule-{entry} path_beg {path_of(entry)}" for entry in range(setting.rules)
    )
    any_of = " or ".join(f"rule-{entry} METH_GET" for entry in range(setting.rules))
    return f"{named}\n  http-request deny unless {any_of}"
