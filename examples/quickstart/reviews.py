"""The program behind a sidecar: reviews.py ADDRESS PORT VERSION. It knows of no mesh."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Reviews(BaseHTTPRequestHandler):
    """Says which version it is and who called; fails the first try of what is asked at /moody."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave together; apart, the second waits for an ACK
    version = ""
    seen: set[str] = set()  # noqa: RUF012 - shared by all requests

    def do_GET(self) -> None:
        """Answers."""
        caller = self.headers.get("x-forwarded-client-cert", "somebody").rpartition("URI=")[2]
        request_id = self.headers.get("x-request-id", "")
        if self.path == "/moody" and request_id not in self.seen:
            self.seen.add(request_id)
            self._answer(503, "ask me again")
        else:
            again = ", second try" if request_id in self.seen else ""
            self._answer(200, f"reviews {self.version}, called by {caller}{again}")

    def _answer(self, status: int, text: str) -> None:
        body = f"{text}\n".encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stays quiet: the sidecar logs."""


if __name__ == "__main__":
    address, port, Reviews.version = sys.argv[1:]
    ThreadingHTTPServer((address, int(port)), Reviews).serve_forever()
