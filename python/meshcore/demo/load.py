"""Pages of the shop, asked for as a browser would: gently all the time, or many at once."""

import http.client
import json
import time
from collections import Counter, deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from statistics import median
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import urlsplit

# A few requests a second, as from a person who reloads often.
RATE = 8.0
_WITHIN_SECONDS = 10.0
# Pages that are asked for at the same time when there are many.
_AT_ONCE = 4
# Of the gentle load, so many are looked at for what is shown meanwhile.
_RECENT = 80


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it came."""

    status: int
    took_ms: float
    content: dict[str, Any] = field(default_factory=dict[str, Any])
    why: str = ""
    """What was said instead of a page."""

    @property
    def version(self) -> str:
        """Which `tastings` answered; empty if none did."""
        return str(self.content.get("tastings", {}).get("version", ""))

    @property
    def ratings(self) -> dict[str, Any] | None:
        """What `ratings` answered, if it was asked."""
        found: dict[str, Any] | None = self.content.get("tastings", {}).get("ratings")
        return found

    @property
    def is_whole(self) -> bool:
        """Whether all that were asked for it answered."""
        return all(
            part.get("status", HTTPStatus.OK) == HTTPStatus.OK
            for part in (
                {"status": self.status},
                self.content.get("catalog", {}),
                self.content.get("tastings", {}),
                self.ratings or {},
            )
        )


class Guest:
    """Somebody who asks for pages over a connection that is kept."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_WITHIN_SECONDS)

    def page(self, path: str = "/") -> Page:
        """Returns what came; its status is 0 when nothing did."""
        began = time.monotonic()
        try:
            self._connection.request("GET", path, headers={"accept": "application/json"})
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return Page(0, _since(began), why=str(error) or type(error).__name__)
        took_ms = _since(began)
        if response.status == HTTPStatus.OK:
            with suppress(ValueError):
                return Page(response.status, took_ms, json.loads(body))
        return Page(response.status, took_ms, why=body.decode(errors="replace").strip())

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()


def many(url: str, count: int) -> Iterator[Page]:
    """Yields so many pages as they come; some are asked for at the same time."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        share, rest = divmod(count, _AT_ONCE)
        found: deque[Page] = deque()
        asked = [pool.submit(_ask, url, share + (i < rest), found) for i in range(_AT_ONCE)]
        while not all(one.done() for one in asked) or found:
            if not found:
                time.sleep(0.01)
                continue
            yield found.popleft()
        for one in as_completed(asked):
            one.result()


def _ask(url: str, count: int, found: "deque[Page]") -> None:
    guest = Guest(url)
    for _ in range(count):
        found.append(guest.page())
    guest.close()


@dataclass(frozen=True, slots=True)
class Sight:
    """How the gentle load fares."""

    pages: int
    lost: int
    """Pages that did not come."""
    rate: float
    """Pages per second, lately."""
    median_ms: float
    """In how much time a page came, lately."""
    versions: dict[str, int]
    """Who answered, lately."""


@contextmanager
def loaded(url: str) -> "Generator[Load]":
    """A gentle load, as long as this is open."""
    load = Load(url)
    thread = Thread(target=load.go_on, name="demo-load", daemon=True)
    thread.start()
    try:
        yield load
    finally:
        load.end()
        thread.join()


class Load:
    """Asks for the front page all the time."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._end = Event()
        self._lock = Lock()
        self._pages = 0
        self._lost = 0
        self._recent: deque[tuple[float, Page]] = deque(maxlen=_RECENT)

    def go_on(self) -> None:
        """Asks until `end` is called."""
        guest = Guest(self._url)
        while not self._end.wait(1 / RATE):
            page = guest.page()
            with self._lock:
                self._pages += 1
                self._lost += page.status != HTTPStatus.OK
                self._recent.append((time.monotonic(), page))
        guest.close()

    def end(self) -> None:
        """Makes `go_on` return."""
        self._end.set()

    def sight(self) -> Sight:
        """Returns how it fares."""
        with self._lock:
            recent, pages, lost = list(self._recent), self._pages, self._lost
        seconds = recent[-1][0] - recent[0][0] if len(recent) > 1 else 0.0
        versions = Counter(page.version for _, page in recent if page.version)
        return Sight(
            pages,
            lost,
            (len(recent) - 1) / seconds if seconds else 0.0,
            median(page.took_ms for _, page in recent) if recent else 0.0,
            dict(sorted(versions.items())),
        )


def _since(began: float) -> float:
    return (time.monotonic() - began) * 1000
