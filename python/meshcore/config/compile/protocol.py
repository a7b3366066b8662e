"""What is spoken on a port. Source: Istio's protocol selection (pkg/config/kube)."""

from meshcore.config.resources import Protocol

# By the names of Istio's protocols, in lower case. `None` cannot be carried.
_PROTOCOLS: dict[str, Protocol | None] = {
    "http": "http",
    "http_proxy": "http",
    "http2": "http2",
    "grpc": "grpc",
    "grpc-web": "http2",
    "https": "tls",
    "tls": "tls",
    "tcp": "tcp",
    "mongo": "tcp",
    "redis": "tcp",
    "mysql": "tcp",
    "hbone": "tcp",
    "udp": None,
}
# Names that Kubernetes standardised for appProtocol.
_APP_PROTOCOLS: dict[str, Protocol | None] = {
    "kubernetes.io/h2c": "http2",
    "kubernetes.io/ws": "http",
    "kubernetes.io/wss": "tls",
    "ws": "http",
    "wss": "tls",
}
# Ports on which the server speaks first, so that detection would wait for nothing.
_SERVER_FIRST = frozenset({25, 53, 3306, 27017})


def declared(name: str) -> Protocol | None:
    """Returns the protocol of a ServiceEntry's port; empty is found by the first bytes."""
    return _PROTOCOLS.get(name.lower(), "detect")


def selected(number: int, name: str, app_protocol: str | None) -> Protocol | None:
    """Returns the protocol of a Kubernetes port, or `None` when it cannot be carried.

    `appProtocol` wins over the name of the port, which is `<protocol>` or `<protocol>-<suffix>`.
    """
    if app_protocol:
        known = app_protocol.lower()
        return _APP_PROTOCOLS.get(known, _PROTOCOLS.get(known, "detect"))
    lower = name.lower()
    if lower == "grpc-web" or lower.startswith("grpc-web-"):
        return "http2"
    prefix = lower.partition("-")[0]
    if prefix in _PROTOCOLS:
        return _PROTOCOLS[prefix]
    return "tcp" if number in _SERVER_FIRST else "detect"
