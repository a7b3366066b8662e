"""An origin that takes whatever comes, keeps it, and answers when it can."""

import asyncio
import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from tests.reliability.rfc9112 import is_whole

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
# For what a proxy sends after it has the answer.
LINGER_SECONDS = 0.15
_NUMBER = re.compile(rb"(?:x-case: ?|/case/|/hidden/)(\d+)", re.IGNORECASE)


class Origin:
    """Runs on a thread of its own; each connection carries one request and is closed."""

    def __init__(self) -> None:
        self.port = 0
        self.captured: dict[int, list[bytes]] = defaultdict(list)
        """What came on each connection, by the number of the case that it shows."""
        self.unknown: list[bytes] = []
        """Connections whose bytes show no number."""
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()

    def run(self) -> None:
        """Serves until `stop`."""
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1000)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    @contextmanager
    def running(self) -> Iterator["Origin"]:
        """Serves inside the block."""
        thread = threading.Thread(target=self.run)
        thread.start()
        self._ready.wait()
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        came = bytearray()
        try:
            await self._converse(reader, writer, came)
        except (OSError, asyncio.CancelledError):
            pass  # what came until then counts
        finally:
            writer.close()
            self._keep(bytes(came))

    async def _converse(self, reader, writer, came: bytearray) -> None:
        while not is_whole(bytes(came)):
            piece = await reader.read(65536)
            if not piece:
                return
            came += piece
        writer.write(ANSWER)
        await writer.drain()
        writer.write_eof()
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while piece := await reader.read(65536):
                    came += piece
        except TimeoutError:
            pass

    def _keep(self, came: bytes) -> None:
        found = _NUMBER.search(came)
        if found:
            self.captured[int(found[1])].append(came)
        elif came:
            self.unknown.append(came)
