"""What a control plane shows over HTTP: metrics, and what each sidecar has."""

import json
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from threading import BoundedSemaphore, Thread, Timer
from typing import Any, cast

from meshcore.errors import MeshcoreError, StartFailed

# Longest that a client may take to send its request or to take the answer.
WITHIN_SECONDS = 10.0
# Connections that are answered at the same time; more are closed.
MOST_AT_ONCE = 32

_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Page:
    """One page."""

    content_type: str
    body: Callable[[], bytes]
    is_debug: bool = False
    """Whether it is for this host only."""


def json_page(value: Callable[[], object], *, is_debug: bool = False) -> Page:
    """Returns a page of a value as JSON."""
    return Page(_JSON, lambda: json.dumps(value()).encode() + b"\n", is_debug)


class Pages:
    """A server of pages on threads of its own."""

    def __init__(
        self, address: str, port: int, pages: Mapping[str, Page], *, exposes_debug: bool
    ) -> None:
        """Listens; it answers when this returns.

        Raises:
            StartFailed: The address cannot be had.
        """
        try:
            self._server = _Server(address, port, pages, exposes_debug=exposes_debug)
        except (OSError, OverflowError) as error:
            why = (getattr(error, "strerror", None) or str(error)).lower()
            raise StartFailed(f"{address}:{port}: {why}") from error
        Thread(target=self._server.serve_forever, name="meshcore-pages", daemon=True).start()

    @property
    def address(self) -> str:
        """Where this host finds it, as `HOST:PORT`."""
        host, port = self._server.server_address[:2]
        name = host if isinstance(host, str) else host.decode()
        name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(name, name)  # noqa: S104 - listens there
        return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, address: str, port: int, pages: Mapping[str, Page], *, exposes_debug: bool
    ) -> None:
        self.pages = pages
        self.exposes_debug = exposes_debug
        self._left = BoundedSemaphore(MOST_AT_ONCE)
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as above it
        if not self._left.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # there is no thread for it, which would have given it back
            self._left.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as above it
        late = Timer(WITHIN_SECONDS, _hang_up, (request,))
        late.daemon = True
        try:
            late.start()
            super().process_request_thread(request, client_address)
        finally:
            late.cancel()
            self._left.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as above it
        """Says nothing: a client that goes away is no fault of ours."""


def _hang_up(request: socket.socket) -> None:
    with suppress(OSError):  # it has ended
        request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server_version = "meshcore"
    sys_version = ""
    protocol_version = "HTTP/1.0"  # one request on a connection: who scrapes holds no place
    timeout = WITHIN_SECONDS

    def do_GET(self) -> None:
        page = self._pages().get(self.path.partition("?")[0])
        if page is None:
            self._answer(HTTPStatus.NOT_FOUND, _list_of(self._pages()))
        elif page.is_debug and not self._may_debug():
            self._answer(HTTPStatus.FORBIDDEN, b"for this host only: see --expose-debug\n")
        else:
            self._show(page)

    do_HEAD = do_GET  # noqa: N815 - as above

    def _refuse(self) -> None:
        self.close_connection = True  # its body is not read
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED, b"only GET and HEAD\n")

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _refuse  # noqa: N815 - as above

    def _show(self, page: Page) -> None:
        try:
            body = page.body()
        except MeshcoreError as error:
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, f"{error}\n".encode())
        else:
            self._answer(HTTPStatus.OK, body, page.content_type)

    def _may_debug(self) -> bool:
        """Whether it is this host that asks, and not a page of the web in its browser."""
        if self._served().exposes_debug:
            return True
        host = self.headers.get("Host", "").lower()
        name = host.partition("]")[0].lstrip("[") if "[" in host else host.partition(":")[0]
        return _is_loopback(str(self.client_address[0])) and (
            name == "localhost" or _is_loopback(name)
        )

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _served(self) -> _Server:
        return cast("_Server", self.server)

    def _pages(self) -> Mapping[str, Page]:
        return self._served().pages

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
        """Says nothing: scrapes come all the time."""


def _list_of(pages: Mapping[str, Page]) -> bytes:
    return b"there is " + ", ".join(pages).encode() + b"\n"


def _is_loopback(text: str) -> bool:
    try:
        found = ip_address(text)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return bool((mapped or found).is_loopback)
