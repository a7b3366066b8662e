"""Asks: do scrapes of 10,000 series, one a second, move the p99 of requests? Unit: microseconds.

`make bench-scrape`, or `python benches/scrape.py [ROUNDS]` with whatever is installed. A sidecar
answers requests from one keep-alive client, in rounds with and without a scraper beside it, a
process of its own.
"""

import json
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

ADDRESS = "127.0.77.1"
ROUND_SECONDS = 3.0
STATUSES = range(200, 360)  # a request series for each: its count and three histograms

DOCUMENTS = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: answers}
spec:
  hosts: [answers.local]
  http:
"""


def documents() -> str:
    rules = [
        f"  - {{match: [{{uri: {{exact: /{status}}}}}], directResponse: {{status: {status}}}}}"
        for status in STATUSES
    ]
    return DOCUMENTS + "\n".join(rules) + "\n"


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "mesh.yaml").write_text(documents())
        ready = Path(folder) / "ready.json"
        meshcore = Path(sys.executable).with_name("meshcore")
        options = f"--service bench --no-inbound --address {ADDRESS} --mesh {folder}"
        command = [str(meshcore), "run", *options.split(), "--ready-file", str(ready)]
        sidecar = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            while not ready.exists():
                time.sleep(0.05)
            measure(json.loads(ready.read_text())["addresses"], rounds)
        finally:
            sidecar.terminate()
            sidecar.wait()


def measure(addresses: dict[str, str], rounds: int) -> None:
    for status in STATUSES:
        ask(addresses, status, 0.0)
    metrics = f"http://{addresses['metrics']}/stats/prometheus"
    lines = scrape(metrics).splitlines()
    series = sum(1 for line in lines if line and not line.startswith(b"#"))
    assert series > 10_000, series
    ratios, quiet, scraped = [], [], []
    for _ in range(rounds):
        quiet.append(p99(addresses))
        with scraper(metrics):
            scraped.append(p99(addresses))
        ratios.append(scraped[-1] / quiet[-1])
    print(f"{series} series, {rounds} rounds of {ROUND_SECONDS:.0f} s, p99 in us")
    print(f"without scrapes {statistics.median(quiet):.0f}, with {statistics.median(scraped):.0f}")
    print(f"median of paired ratios {statistics.median(ratios):.3f}, all {sorted(ratios)}")


def scrape(metrics: str) -> bytes:
    with urllib.request.urlopen(metrics, timeout=10) as answer:
        return bytes(answer.read())


@contextmanager
def scraper(metrics: str) -> Iterator[None]:
    """Scrapes once a second inside the block; each scrape is answered in full."""
    stop, made = multiprocessing.Event(), multiprocessing.Value("i", 0)

    def scrape_on() -> None:
        while not stop.wait(1.0):
            assert scrape(metrics)
            made.value += 1

    process = multiprocessing.get_context("fork").Process(target=scrape_on)
    process.start()
    try:
        yield
    finally:
        stop.set()
        process.join()
    assert process.exitcode == 0, process.exitcode
    assert made.value >= ROUND_SECONDS - 1, f"only {made.value} scrapes"


def p99(addresses: dict[str, str]) -> float:
    """The 99th percentile of a round's latencies."""
    latencies = ask(addresses, 200, ROUND_SECONDS)
    return statistics.quantiles(latencies, n=100)[98]


def ask(addresses: dict[str, str], status: int, within: float) -> list[float]:
    """Latencies of requests, one after another for `within` seconds; at least one."""
    client = HTTPConnection(addresses["outbound"])
    latencies: list[float] = []
    end = time.perf_counter() + within
    while True:
        began = time.perf_counter()
        client.request("GET", f"/{status}", headers={"host": "answers.local"})
        response = client.getresponse()
        response.read()
        assert response.status == status
        latencies.append((time.perf_counter() - began) * 1e6)
        if began > end:
            client.close()
            return latencies


if __name__ == "__main__":
    main()
