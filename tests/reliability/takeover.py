"""Takeovers in a row under load, while uploads, a WebSocket and a gRPC stream go on.

Each round a new process takes over from both sidecars, of the caller and of the called. What was
begun before goes on through the old ones for most of their drain.
"""

import hashlib
import http.client
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from tests.integration.harness import Sidecar, eventually
from tests.reliability.traffic import Carried, Traffic, api_options, traffic, web_options
from websockets.sync import client

ROUNDS = 10
RATE = 1000.0
DRAIN_SECONDS = 10
# How long what was begun before goes on after both have been taken over from; the second may be
# some seconds later.
TALK_SECONDS = 6.0
UPLOADS = 2
_PIECE = b"p" * 8192


@dataclass
class Outcome:
    """What the rounds did."""

    rounds: int = 0
    carried: Carried = field(default_factory=Carried)
    long: dict[str, int] = field(default_factory=dict)
    """Uploads, WebSockets and streams that lasted through a drain, by kind."""
    broken: list[str] = field(default_factory=list)
    """Of those, the ones that failed, and old processes that did not end well."""
    ready_ms: list[float] = field(default_factory=list)
    """From the command to a new process that serves."""


def run(rounds: int = ROUNDS, rate: float = RATE, talk_seconds: float = TALK_SECONDS) -> Outcome:
    """Takes over so often."""
    outcome = Outcome()
    with (
        tempfile.TemporaryDirectory(prefix="meshcore-takeover-") as directory,
        traffic(Path(directory), rate, f"{DRAIN_SECONDS}s") as carrying,
    ):
        for _ in range(rounds):
            _round(carrying, outcome, talk_seconds)
        outcome.carried = carrying.end()
    return outcome


def _round(carrying: Traffic, outcome: Outcome, talk_seconds: float) -> None:
    taken = threading.Event()
    talks: list[tuple[str, Callable[..., None]]] = [
        *[("uploads", _upload)] * UPLOADS, ("WebSockets", _websocket), ("gRPC streams", _grpc)
    ]  # fmt: skip
    long = [_Long(kind, talk, carrying.web, (taken, talk_seconds)) for kind, talk in talks]
    for one in long:
        one.begin()
    before = [carrying.api, carrying.web]
    began = time.monotonic()
    carrying.api, carrying.web = carrying.mesh.sidecars(
        (*api_options(f"{DRAIN_SECONDS}s"), "--takeover"),
        (*web_options(f"{DRAIN_SECONDS}s"), "--takeover"),
    )
    outcome.ready_ms.append((time.monotonic() - began) * 1000)
    taken.set()
    for one in long:
        one.join()
        outcome.long[one.kind] = outcome.long.get(one.kind, 0) + 1
        outcome.broken += one.failed
    for old in before:
        status = old.wait()
        if status != 0:
            outcome.broken.append(f"an old process ended with {status}: {old.said()}")
    outcome.rounds += 1


class _Long(threading.Thread):
    """Something that begins before a takeover, and ends after it."""

    def __init__(
        self, kind: str, talk: Callable[..., None], sidecar: Sidecar,
        until: tuple[threading.Event, float],
    ) -> None:  # fmt: skip
        super().__init__()
        self.kind, self.failed = kind, list[str]()
        self._talk, self._sidecar, self._until = talk, sidecar, until
        self._begun = threading.Event()

    def begin(self) -> None:
        """Starts, and returns when it is under way."""
        self.start()
        eventually(lambda: self._begun.is_set() or self.failed)

    def run(self) -> None:
        try:
            self._talk(self._sidecar, self._pauses())
        except Exception as error:  # noqa: BLE001 - whatever it is, it was lost
            self.failed.append(f"{self.kind}: {error!r}")

    def _pauses(self) -> Iterator[None]:
        """A turn now and then, until some time after the takeover."""
        taken, seconds = self._until
        yield
        self._begun.set()
        while not taken.wait(0.05):
            yield
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.05)
            yield


def _upload(sidecar: Sidecar, turns: Iterator[None]) -> None:
    digest = hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        for _ in turns:
            digest.update(_PIECE)
            yield _PIECE

    connection = http.client.HTTPConnection(*sidecar.host_port("outbound"), timeout=30)
    connection.request("PUT", "/upload", pieces(), {"host": "api:9080"}, encode_chunked=True)
    with connection.getresponse() as answer:
        body = answer.read()
    connection.close()
    if answer.status != http.client.OK or digest.hexdigest().encode() not in body:
        raise ConnectionError(f"{answer.status}: {body!r}")


def _websocket(sidecar: Sidecar, turns: Iterator[None]) -> None:
    stream = socket.create_connection(sidecar.host_port("outbound"), timeout=20)
    with client.connect("ws://all:9081/", sock=stream, proxy=None) as chat:
        for number, _ in enumerate(turns):
            chat.send(f"message {number}")
            if (got := chat.recv(20)) != f"message {number}":
                raise ConnectionError(f"{got!r}")


def _grpc(sidecar: Sidecar, turns: Iterator[None]) -> None:
    options = [("grpc.default_authority", "all:50051"), ("grpc.enable_retries", 0),
               ("grpc.use_local_subchannel_pool", 1)]  # fmt: skip
    heard = threading.Semaphore(0)

    def words() -> Iterator[bytes]:
        for _ in turns:
            yield b"word"
            if not heard.acquire(timeout=20):
                raise TimeoutError("no answer")

    with grpc.insecure_channel(sidecar.addresses["outbound"], options=options) as channel:
        for answer in channel.stream_stream("/test.Talk/Talk")(words()):
            if answer != b"WORD":
                raise ConnectionError(repr(answer))
            heard.release()


def table(outcome: Outcome) -> str:
    """Returns the figures, as Markdown."""
    longs = ", ".join(f"{count} {kind}" for kind, count in outcome.long.items())
    middle = sorted(outcome.ready_ms)[len(outcome.ready_ms) // 2]
    carried = outcome.carried
    return (
        "| takeovers of both | questions | lost | through a drain | broken | ready (ms) |\n"
        "|---|---|---|---|---|---|\n"
        f"| {outcome.rounds} | {carried.asked} | {carried.lost_count} | {longs}"
        f" | {len(outcome.broken)} | {middle:.0f} |"
    )
