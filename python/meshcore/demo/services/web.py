"""What the four programs share: they answer over HTTP, and ask others through their sidecar."""

import http.client
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from meshcore.demo.bound import end_with_parent

# What a program hands on with its own calls, so that they belong to one trace.
# Source: Istio's list for tracing (W3C trace context, B3).
_TRACE = (
    "x-request-id", "traceparent", "tracestate", "b3", "x-b3-traceid", "x-b3-spanid",
    "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags",
)  # fmt: skip
# How long an answer of another program may take.
_WITHIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A request."""

    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer."""

    status: int
    body: bytes
    kind: str = "application/json"

    def to_json(self) -> dict[str, Any]:
        """Returns what is in it; `why` is in it when it is an error."""
        if self.status == http.client.OK:
            try:
                return {"status": self.status, **json.loads(self.body)}
            except ValueError:
                return {"status": self.status, "why": "no JSON"}
        return {"status": self.status, "why": self.body.decode(errors="replace").strip()}


def json_answer(found: Mapping[str, Any]) -> Answer:
    """Returns an answer with JSON in it."""
    return Answer(http.client.OK, json.dumps(found).encode())


def ask(asked: Asked, service: str, path: str) -> Answer:
    """Asks another service by its name, through the sidecar, on behalf of a request."""
    outbound = os.environ.get("MESHCORE_OUTBOUND", "")  # noqa: TID251 - told by the sidecar
    trace = {name: value for name in _TRACE if (value := asked.headers.get(name))}
    connection = http.client.HTTPConnection(urlsplit(outbound).netloc, timeout=_WITHIN_SECONDS)
    try:
        with closing(connection):
            connection.request("GET", path, headers={**trace, "host": service})
            response = connection.getresponse()
            return Answer(response.status, response.read())
    except (OSError, http.client.HTTPException) as error:
        return Answer(http.client.BAD_GATEWAY, f"no answer of {service}: {error}".encode())


def serve(answer: Callable[[Asked], Answer]) -> None:
    """Serves at the address and port of the arguments until the process is told to end."""
    address, port = sys.argv[1], int(sys.argv[2])
    if not end_with_parent(os.getppid()):
        return

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body leave together; apart, the second waits for an ACK

        def do_GET(self) -> None:
            given = answer(Asked(self.path, _lower(self.headers.items())))
            self.send_response(given.status)
            self.send_header("content-type", given.kind)
            self.send_header("content-length", str(len(given.body)))
            self.end_headers()
            self.wfile.write(given.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            """Stays quiet: the sidecar logs."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 128

        def server_bind(self) -> None:
            # Not HTTPServer's, which asks the resolver for the name of the address.
            self.socket.bind(self.server_address)
            self.server_name, self.server_port = address, port

    Server((address, port), Handler).serve_forever()


def _lower(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in fields}


def version() -> str:
    """Returns the version that the arguments say."""
    return sys.argv[3]
