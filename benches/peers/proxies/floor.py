"""The floor: bytes moved from one socket to the other, and nothing else."""

from benches.peers.native import program
from benches.peers.proxies.setting import Setting


def floor(setting: Setting) -> list[str]:
    """A relay on a bare epoll, `crates/meshcore-bench/src/bin/floor.rs`."""
    what = "tcp" if setting.client_speaks == "tcp" else "http"
    return [program("floor"), what, "--port", str(setting.port), "--origin", str(setting.origin)]
