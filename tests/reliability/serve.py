"""A data plane in a Python process: `serve.py MESH.yaml NODE.json [AUTHORITY]`.

AUTHORITY is the directory of a development authority, which is made if there is none; without it
the data plane has no certificate, so that there is no mutual TLS. Prints where it listens, as
JSON, and what people are to be told on standard error. Serves until it is ended.
"""

import json
import sys
from pathlib import Path

from meshcore.config import compile_mesh
from meshcore.control.renewal import Issuer
from meshcore.native import Options, Proxy
from meshcore.sources.file import read

TRUST_DOMAIN = "cluster.local"


def main() -> None:
    """Serves until it is ended."""
    mesh_path, node_path, *authority = sys.argv[1:]
    mesh = compile_mesh(read([mesh_path]), 1).required()
    node = Path(node_path).read_bytes()
    identity = json.loads(node)["identity"]
    materials = None
    if authority:
        materials, _ = Issuer(authority[0], identity, TRUST_DOMAIN, (), 3600).issue()
    proxy = Proxy(json.dumps(mesh).encode(), node, Options(workers=1), materials=materials)
    print(json.dumps(dict(proxy.addresses())), flush=True)
    while not proxy.wait(0.25):
        for notice in proxy.take_notices():
            print(notice, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
