"""A sidecar's data plane: `serve.py MESH.yaml NODE.json`.

It has no certificate, so that there is no mutual TLS. Prints where it listens, as JSON, and serves
until it is ended.
"""

import json
import sys
from pathlib import Path

from meshcore.config import compile_mesh
from meshcore.native import Options, Proxy
from meshcore.sources.file import read


def main() -> None:
    """Serves until it is ended."""
    mesh_path, node_path = sys.argv[1:]
    mesh = compile_mesh(read([mesh_path]), 1).required()
    options = Options(workers=1)
    proxy = Proxy(json.dumps(mesh).encode(), Path(node_path).read_bytes(), options)
    print(json.dumps(dict(proxy.addresses())), flush=True)
    proxy.wait()


if __name__ == "__main__":
    main()
