"""Routes are swapped while requests are carried: is one lost, and does one wait?"""

import threading

from benches.peers.loads import requests
from benches.peers.scenario import Measured, Running

RATE = 20_000
CONNECTIONS = 64
SWAPS_A_SECOND = 20
# Of `Setting.more`, where routes are swapped.
SWAPPING = "swapping"


def latency(running: Running, seconds: float) -> Measured:
    """The p99.9 of latencies at `RATE` requests a second, in ms; a request that fails ends it."""
    done = threading.Event()
    swaps = threading.Thread(target=_swap, args=(running, done))
    swaps.start()
    try:
        notes = requests(CONNECTIONS, RATE)(running, seconds).notes
    finally:
        done.set()
        swaps.join()
    return Measured(notes["p999_us"] / 1e3, notes)


def _swap(running: Running, done: threading.Event) -> None:
    """Tells a server of `serve.py` to swap, until it is enough."""
    process = running.processes[-1]
    assert process.stdin is not None
    assert process.stdout is not None
    while running.setting.more == SWAPPING and not done.wait(1 / SWAPS_A_SECOND):
        process.stdin.write(b"swap\n")
        process.stdin.flush()
        # What it says first is where it listens; a swap that is refused ends it, and the load.
        while (line := process.stdout.readline()) and b"revision" not in line:
            pass
