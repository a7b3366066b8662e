"""nginx."""

from benches.peers.proxies.setting import Setting, path_of

_FOREVER = "keepalive_requests 100000000; keepalive_timeout 1h;"


def nginx_command(setting: Setting, name: str, location: str, http: str = "") -> list[str]:
    """Returns the command of an nginx with one server, which holds `location`."""
    listen = "reuseport backlog=4096"
    if setting.client_speaks == "http2":
        listen += " http2"
    tls = ""
    if setting.accepts_tls:
        listen += " ssl"
        folder = setting.certificates
        tls = (
            f"ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;"
            f" ssl_client_certificate {folder}/ca.pem; ssl_verify_client on;"
            " ssl_protocols TLSv1.3; ssl_session_tickets off;"
        )
    temporary = " ".join(
        f"{kind}_temp_path {setting.directory}/{name}-{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return _command(
        setting,
        name,
        f"""http {{
  access_log off; {_FOREVER} {temporary}
  {http}
  server {{ listen 127.0.0.1:{setting.port} {listen}; {tls} {location} }}
}}
""",
    )


def nginx(setting: Setting) -> list[str]:
    """A reverse proxy, or a relay of TCP."""
    if setting.client_speaks == "tcp":
        return _command(
            setting,
            "nginx",
            f"stream {{ server {{ listen 127.0.0.1:{setting.port} reuseport; proxy_buffer_size 64k;"
            f" tcp_nodelay on; proxy_half_close on; proxy_pass 127.0.0.1:{setting.origin}; }} }}",
            "load_module /usr/lib/nginx/modules/ngx_stream_module.so;",
        )
    upstream = f"upstream origin {{ server 127.0.0.1:{setting.origin}; keepalive 256; {_FOREVER} }}"
    forward = (
        "proxy_pass http://origin; proxy_http_version 1.1;"
        " proxy_set_header Connection ''; proxy_set_header Host $host;"
    )
    paths = [path_of(entry) for entry in range(setting.routes)] if setting.routes > 1 else ["/"]
    locations = " ".join(f"location {path} {{ {forward} }}" for path in paths)
    return nginx_command(setting, "nginx", locations, upstream)


def _command(setting: Setting, name: str, what: str, modules: str = "") -> list[str]:
    path = setting.write(
        f"{name}.conf",
        f"""{modules}
daemon off; master_process off; worker_processes 1; pid {setting.directory}/{name}.pid;
error_log stderr crit; worker_rlimit_nofile 65536;
events {{ worker_connections 16384; }}
{what}
""",
    )
    return ["nginx", "-p", str(setting.directory), "-e", "stderr", "-c", str(path)]
