"""A sidecar's data plane, outbound only, without mutual TLS: serve.py MESH.yaml PORT."""

import json
import sys

from meshcore.config import compile_mesh
from meshcore.native import Options, Proxy
from meshcore.sources.file import read


def main() -> None:
    """Serves until it is ended."""
    mesh_path, port = sys.argv[1:]
    mesh = compile_mesh(read([mesh_path]), 1).required()
    node = {
        "name": "bench",
        "namespace": "default",
        "identity": "spiffe://cluster.local/ns/default/sa/bench",
        "address": "127.0.0.1",
        "ports": [],
        "listen": {"outbound": f"127.0.0.1:{port}"},
    }
    proxy = Proxy(json.dumps(mesh).encode(), json.dumps(node).encode(), Options(workers=1))
    proxy.wait()


if __name__ == "__main__":
    main()
