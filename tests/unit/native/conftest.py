"""An application and a data plane on loopback, and a client for both."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from meshcore.plugin.registry import load

native = pytest.importorskip("meshcore.native")

pytestmark = pytest.mark.native


class Application(BaseHTTPRequestHandler):
    """Answers with what it was asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = json.dumps({"path": self.path, "headers": dict(self.headers)}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-app", "1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def application() -> Iterator[str]:
    """Address of an application that answers with what it was asked."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Application) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def node(application: str) -> bytes:
    """Returns a node whose port 9080 is the application."""
    return json.dumps(
        {
            "name": "reviews",
            "namespace": "default",
            "identity": "spiffe://cluster.local/ns/default/sa/reviews",
            "address": "127.0.0.1",
            "ports": [{"number": 9080, "application": application}],
            "listen": {"inbound": "127.0.0.1:0", "metrics": "127.0.0.1:0"},
        }
    ).encode()


def mesh(revision: int = 1) -> bytes:
    """Returns an empty mesh."""
    return json.dumps({"revision": revision}).encode()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    @property
    def seen(self) -> dict[str, str]:
        """The headers that the application saw, in lower case."""
        return {name.lower(): value for name, value in json.loads(self.body)["headers"].items()}


@dataclass
class Client:
    """One client that keeps its connection."""

    inbound: str
    _connection: http.client.HTTPConnection | None = None
    late: list[float] = field(default_factory=list)

    def get(self, path: str = "/", **headers: str) -> Answer:
        connection = self._connection or http.client.HTTPConnection(self.inbound, timeout=10)
        self._connection = None
        began = time.monotonic()
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET", path, headers={"host": "reviews:9080", **fields})
        response = connection.getresponse()
        body = response.read()
        if response.will_close:
            connection.close()
        else:
            self._connection = connection
        lowered = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, lowered, body, time.monotonic() - began)

    def close(self) -> None:
        if self._connection:
            self._connection.close()


@dataclass
class Running:
    """A data plane in this process, and a client for it."""

    proxy: "native.Proxy"
    client: Client

    def get(self, path: str = "/", **headers: str) -> Answer:
        return self.client.get(path, **headers)

    def metric(self, name: str, hook: str = "") -> float:
        return metric(self.proxy.addresses()["metrics"], name, hook)


def metric(address: str, name: str, hook: str = "") -> float:
    """Returns one sample of a scrape."""
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request("GET", "/stats/prometheus")
    text = connection.getresponse().read().decode()
    connection.close()
    wanted = f'{name}{{hook="{hook}"}}' if hook else name
    lines = (line.rpartition(" ") for line in text.splitlines())
    return next(float(value) for found, _, value in lines if found == wanted)


@pytest.fixture
def start(
    application: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Running]]:
    """Starts a data plane with a plugin of this source, if any."""
    # Only tests that say so are about limits: others may have the machine for longer.
    monkeypatch.setattr("meshcore.plugin.options.DEFAULT_TIMEOUT_MS", 5_000)
    running: list[Running] = []

    def start_one(source: str = "", name: str = "policy", **options: int) -> Running:
        path = tmp_path / f"{name}.py"
        path.write_text(f"from meshcore.plugin import *\n{source}")
        hooks = load(str(path)).hooks if source else ()
        proxy = native.Proxy(mesh(), node(application), native.Options(**options), hooks)
        one = Running(proxy, Client(proxy.addresses()["inbound"]))
        running.append(one)
        return one

    yield start_one
    for one in running:
        one.client.close()
        one.proxy.stop()
