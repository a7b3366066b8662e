"""The event loop that `async def` hooks run on. Imported when the first such hook is loaded.

The data plane writes a byte to a socket when calls wait, so that no thread of it has to wait
for the interpreter.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol


class Call(Protocol):
    """A call of an `async def` hook, as the data plane hands it over."""

    within_seconds: float
    """Time until its answer is of no use."""

    def start(self) -> object:
        """Returns the coroutine."""

    def finish(self, answer: object) -> None:
        """Takes the decision."""

    def fail(self, error: BaseException) -> None:
        """Takes what the hook raised."""


def run(wake: int, take: Callable[[], list[Call] | None]) -> None:
    """Serves calls until `take` returns `None`.

    Args:
        wake: Descriptor of a socket that becomes readable when calls wait; closed at the end.
        take: Returns the calls that wait.
    """
    asyncio.run(_serve(wake, take))


async def _serve(wake: int, take: Callable[[], list[Call] | None]) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(fileno=wake) as waker:
        waker.settimeout(0)
        async with asyncio.TaskGroup() as calls:
            while True:
                waiting = take()
                if waiting is None:
                    break
                for call in waiting:
                    calls.create_task(_carry_out(call))
                if not await loop.sock_recv(waker, 4096):
                    break
            for task in asyncio.all_tasks():
                if task is not asyncio.current_task():
                    task.cancel()


async def _carry_out(call: Call) -> None:
    """Carries out one call. Whatever the hook raises is the call's, never the loop's."""
    try:
        async with asyncio.timeout(call.within_seconds):
            answer = await call.start()  # type: ignore[misc]
    except BaseException as error:  # noqa: BLE001 - SystemExit of a hook must not end the loop
        call.fail(error)
    else:
        call.finish(answer)
