"""Callers that go on until SIGTERM: load.py ADDRESS PORT AUTHORITY RATE.

Four threads keep their connections, two open one for each request. When it ends it says, as JSON,
how many requests there were, who answered them, how long they took, and what failed.
"""

import json
import select
import signal
import socket
import sys
import threading
import time
from collections import Counter

ADDRESS, PORT, AUTHORITY, RATE = sys.argv[1:5]
KEEPING, FRESH = 4, 2
END = threading.Event()
WITHIN_SECONDS = 10


class Caller(threading.Thread):
    """One caller, that asks at its own pace."""

    def __init__(self, *, keeps: bool) -> None:
        super().__init__()
        self.keeps = keeps
        self.socket: socket.socket | None = None
        self.failed: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.took_ms: list[float] = []

    def run(self) -> None:
        pause = (KEEPING + FRESH) / float(RATE)
        due = time.monotonic()
        number = 0
        while not END.is_set():
            number += 1
            began = time.monotonic()
            try:
                self.ask("POST" if number % 4 == 0 else "GET")
            except (OSError, ValueError) as error:
                self.failed[repr(error)] += 1
                self.hang_up()
            self.took_ms.append((time.monotonic() - began) * 1000)
            due = max(due + pause, time.monotonic() - pause)
            END.wait(max(0.0, due - time.monotonic()))
        self.hang_up()

    def hang_up(self) -> None:
        if self.socket:
            self.socket.close()
        self.socket = None

    def ask(self, method: str) -> None:
        if self.socket and select.select([self.socket], [], [], 0)[0]:
            self.hang_up()  # it was closed while nothing was asked
        if self.socket is None:
            self.socket = socket.create_connection((ADDRESS, int(PORT)), timeout=WITHIN_SECONDS)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        body = "four" if method == "POST" else ""
        length = f"content-length: {len(body)}\r\n" if body else ""
        self.socket.sendall(
            f"{method} /bytes/10 HTTP/1.1\r\nhost: {AUTHORITY}\r\n{length}\r\n{body}".encode()
        )
        head = self.answer(self.socket)
        status = int(head.split(b" ", 2)[1])
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if status == 200:
            self.answered[fields.get(b"x-application", b"").decode()] += 1
        else:
            self.failed[f"{method} {status}"] += 1
        if not self.keeps or fields.get(b"connection") == b"close":
            self.hang_up()

    def answer(self, stream: socket.socket) -> bytes:
        """Reads an answer; returns its head."""
        got = b""
        while b"\r\n\r\n" not in got:
            got += self.more(stream)
        head, _, body = got.partition(b"\r\n\r\n")
        marker = b"content-length: "
        length = int(head.lower().split(marker)[1].split(b"\r\n")[0])
        while len(body) < length:
            body += self.more(stream)
        return head

    def more(self, stream: socket.socket) -> bytes:
        if not (piece := stream.recv(1 << 16)):
            raise ValueError("the connection ended before the answer")
        return piece


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: END.set())
    callers = [Caller(keeps=number < KEEPING) for number in range(KEEPING + FRESH)]
    for caller in callers:
        caller.start()
    while not all(caller.took_ms for caller in callers):
        time.sleep(0.01)
    say("started")
    END.wait()
    for caller in callers:
        caller.join()
    took_ms = sorted(ms for caller in callers for ms in caller.took_ms)
    shown = {
        "requests": len(took_ms),
        "answered": dict(sum((caller.answered for caller in callers), Counter())),
        "failed": dict(sum((caller.failed for caller in callers), Counter())),
        "p50_ms": took_ms[len(took_ms) // 2],
        "p99_ms": took_ms[len(took_ms) * 99 // 100],
        "max_ms": took_ms[-1],
    }
    say(json.dumps(shown))


if __name__ == "__main__":
    main()
