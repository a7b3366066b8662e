"""Runs a data plane with a plugin until standard input ends. `serve.py PLUGIN NODE`."""

import json
import logging
import sys

from meshcore import native
from meshcore.plugin.registry import load

logging.basicConfig(level=logging.INFO, stream=sys.stderr)
proxy = native.Proxy(
    b'{"revision": 1}', sys.argv[2].encode(), native.Options(workers=1), load(sys.argv[1]).hooks
)
sys.stdout.write(json.dumps(proxy.addresses()) + "\n")
sys.stdout.flush()
sys.stdin.read()
proxy.stop()
sys.stdout.write("stopped\n")
