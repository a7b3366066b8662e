"""Each proxy with one worker and its best settings, doing the same.

No access log anywhere; connections to the origin are kept and reused.
"""

from benches.peers.proxies.envoy import envoy
from benches.peers.proxies.floor import floor
from benches.peers.proxies.haproxy import haproxy
from benches.peers.proxies.meshcore import meshcore, swappable, without_python
from benches.peers.proxies.nginx import nginx, nginx_command
from benches.peers.proxies.origin import origin
from benches.peers.proxies.setting import HOST, ROOT, Proxy, Setting, last_path

__all__ = [
    "HOST",
    "PROXIES",
    "ROOT",
    "Proxy",
    "Setting",
    "last_path",
    "nginx_command",
    "origin",
]

PROXIES: dict[str, Proxy] = {
    "floor": floor,
    "meshcore": meshcore,
    "without Python": without_python,
    "swappable": swappable,
    "HAProxy": haproxy,
    "nginx": nginx,
    "Envoy": envoy,
}
