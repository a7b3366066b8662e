"""A sidecar's data plane: `serve.py MESH.yaml NODE.json [OTHER.yaml]`.

It has no certificate, so that there is no mutual TLS. Prints where it listens, as JSON, and serves
until it is ended. Each line of its input puts the other mesh in force, then the first again, and
so on, and is answered with the revision; no file is read for it.
"""

import itertools
import json
import sys
from pathlib import Path

from meshcore.config import compile_mesh
from meshcore.native import Options, Proxy
from meshcore.sources.file import read


def main() -> None:
    """Serves until it is ended."""
    mesh_path, node_path, *others = sys.argv[1:]
    meshes = [compile_mesh(read([path]), 1).required() for path in (mesh_path, *others)]
    options = Options(workers=1)
    proxy = Proxy(json.dumps(meshes[0]).encode(), Path(node_path).read_bytes(), options)
    print(json.dumps(dict(proxy.addresses())), flush=True)
    for revision in itertools.count(2):
        if not sys.stdin.readline():
            break
        mesh = meshes[(revision - 1) % len(meshes)]
        applied = proxy.apply(json.dumps(mesh | {"revision": revision}).encode())
        print(json.dumps({"revision": applied}), flush=True)
    proxy.wait()


if __name__ == "__main__":
    main()
