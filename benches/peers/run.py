"""What does it cost? Side by side in one run: `python -m benches.peers.run [SCENARIO ...]`.

Rows of a scenario take turns, so that a slow minute of the machine meets all of them; what is
compared are the pairs of each round. The results of a scenario replace those it had.
"""

import argparse
import fcntl
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from benches.peers import certificates, processes, report
from benches.peers.native import is_release_build
from benches.peers.proxies import ROOT, Setting
from benches.peers.proxies.origin import fast
from benches.peers.results import Result, keep
from benches.peers.scenario import Measured, Row, Running, Scenario
from benches.peers.scenarios import SCENARIOS
from benches.peers.start import started

QUIET_LOAD = 1.0
QUIET_WITHIN_SECONDS = 120
DESCRIPTORS = 65536


def main() -> None:
    """Measures, and writes table and picture."""
    options = _options()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, DESCRIPTORS), hard))
    failed = []
    alone = nullcontext() if options.smoke else _alone()
    with alone, tempfile.TemporaryDirectory(prefix="meshcore-bench-") as scratch:
        directory = Path(scratch)
        directory.chmod(0o755)  # nginx and HAProxy may give up root
        made = certificates.make(directory / "certificates")
        if not is_release_build():
            _say("meshcore is not the release build: `make develop PROFILE=release`\n")
        load = _load_average() if options.smoke else _wait_until_quiet()
        begun = time.monotonic()
        for number, name in enumerate(options.scenarios, 1):
            _say(f"\n[{number}/{len(options.scenarios)}, {time.monotonic() - begun:.0f} s] {name} ")
            base = Setting(directory, 0, 0, certificates=made)
            try:
                rows = _measure(SCENARIOS[name], base, options)
            except (SystemExit, AssertionError, OSError) as error:
                _say(f"failed\n{error}\n")
                failed.append(name)
                continue
            if rows:
                result = Result.of(SCENARIOS[name], rows, load)
                keep(result, options.out)
                _say(f"\n{report.in_short(result)}")
    report.write(options.out)
    _say(f"\nwritten to {options.out}\n")
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benches.peers.run", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--proxies", help="rows that begin with one of these, by commas")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.2, help="of a round of one row")
    parser.add_argument("--smoke", action="store_true", help="one short round, not kept")
    parser.add_argument("--out", type=Path, default=ROOT / "benches/results")
    options = parser.parse_args()
    options.scenarios = options.scenarios or list(SCENARIOS)
    if unknown := set(options.scenarios) - SCENARIOS.keys():
        parser.error(f"no scenario {', '.join(unknown)}: there are {', '.join(SCENARIOS)}")
    if options.smoke:
        options.rounds, options.seconds = 1, 0.2
        if options.out == parser.get_default("out"):
            options.out = Path(tempfile.mkdtemp(prefix="meshcore-smoke-"))
    return options


def _measure(
    scenario: Scenario, base: Setting, options: argparse.Namespace
) -> Mapping[str, Sequence[Measured]]:
    """Returns all rounds of each row that is wanted."""
    rows = _chosen(scenario, options.proxies)
    if not rows:
        return {}
    measured: dict[str, list[Measured]] = {name: [] for name in rows}
    servers: dict[str, Running] = {}
    with ExitStack() as stack:
        port = processes.free_port()
        origin = fast(scenario.origin, base.directory, port)
        stack.enter_context(processes.running(origin, port, processor=processes.LOAD_PROCESSOR))
        base = replace(base, origin=port)
        if not scenario.is_fresh:
            for name, row in rows.items():
                servers[name] = stack.enter_context(started(row, base))
                scenario.measure(servers[name], options.seconds / 3)  # warm
        for number in range(min(options.rounds, scenario.rounds or options.rounds)):
            turn = number % len(rows)
            for name in [*rows][turn:] + [*rows][:turn]:
                with ExitStack() as once:
                    running = servers.get(name) or once.enter_context(
                        started(rows[name], base, is_pinned=scenario.is_pinned)
                    )
                    measured[name].append(scenario.measure(running, options.seconds))
            _say(".")
    return measured


def _chosen(scenario: Scenario, proxies: str | None) -> Mapping[str, Row]:
    if proxies is None:
        return scenario.rows
    wanted = tuple(proxies.split(","))
    return {name: row for name, row in scenario.rows.items() if name.startswith(wanted)}


@contextmanager
def _alone() -> Iterator[None]:
    """Holds a lock of the machine, so that two runs do not measure each other."""
    with Path("/tmp/meshcore-bench.lock").open("w") as lock:  # noqa: S108 - the same for everybody
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("another run measures; waiting for its end\n")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _wait_until_quiet() -> float:
    """Waits a while for others to end; returns the load average, which stands in the results."""
    end = time.monotonic() + QUIET_WITHIN_SECONDS
    while (load := _load_average()) >= QUIET_LOAD and time.monotonic() < end:
        _say(f"\rload average {load:.2f}, waiting until it is below {QUIET_LOAD:.0f} ")
        time.sleep(2)
    if load >= QUIET_LOAD:
        _say("\nthe machine is not quiet: believe counts and memory, not times\n")
    return load


def _load_average() -> float:
    return float(Path("/proc/loadavg").read_text().split()[0])


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


if __name__ == "__main__":
    main()
