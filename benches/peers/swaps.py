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
    if running.setting.more == SWAPPING:
        swaps.start()
    try:
        notes = requests(CONNECTIONS, RATE)(running, seconds).notes
    finally:
        done.set()
        if swaps.is_alive():
            swaps.join()
    return Measured(notes["p999_us"] / 1e3, notes)


def _swap(running: Running, done: threading.Event) -> None:
    """Tells a server of `serve.py` to swap, until it is enough."""
    while not done.wait(1 / SWAPS_A_SECOND):
        running.input.write(b"swap\n")
        running.input.flush()
