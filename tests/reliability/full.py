"""All attacks in their full form: `python -m tests.reliability.full [NAME...]`.

Prints Markdown, and ends with 1 if something came through that must not, or a part did not run.
"""

import argparse
import platform
import sys
import traceback
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from tests.reliability import (
    bad_config,
    flood,
    h1,
    h2spec,
    hostile,
    paths,
    plugins,
    restart,
    rotations,
    scarce,
    slow,
    swaps,
    takeover,
    tls_scan,
    translation,
)
from tests.reliability.flood_cases import FLOODS
from tests.reliability.traffic import Carried

# What a flood may leave behind, on one connection or on hundreds, once memory that was freed has
# been given back; what a slow client may cost.
GROWN_BYTES = 2 * 2**20
SLOW_BYTES = 8 * 1024

Part = Callable[[], Iterable[str]]


def _h1() -> Iterable[str]:
    outcomes = h1.full()
    print(h1.table(outcomes))
    for o in outcomes:
        if o.proxy.startswith("meshcore"):
            yield from [*o.ambiguous, *o.hidden, *o.unclean, *o.accepted, *o.kept, *o.lost]
            yield from [] if o.is_alive else ["it ended"]


def _hostile() -> Iterable[str]:
    outcomes = hostile.full()
    print("| | answers | leaked | victims starved | passed on | right ones refused |")
    print("|---|---|---|---|---|---|")
    for o in outcomes:
        counts = [len(these) for these in (o.leaked, o.starved, o.passed_on, o.refused)]
        print(f"| {o.proxy} | {o.answers} | " + " | ".join(map(str, counts)) + " |")
        if o.proxy == "meshcore":
            yield from [*o.leaked, *o.starved, *o.passed_on, *o.refused]
            yield from [] if o.is_alive else ["it ended"]


def _h2spec() -> Iterable[str]:
    print("| listener | tests | passed | skipped | failed |\n|---|---|---|---|---|")
    for o in h2spec.run(h2spec.h2spec()):
        failed = "; ".join(o.failures)
        print(f"| {o.listener} | {o.tests} | {o.passed} | {o.skipped} | {failed} |")
        yield from o.unknown


def _translation() -> Iterable[str]:
    print("| way | cases | refused | arrived | ambiguous | malformed that arrived | legal lost |")
    print("|---|---|---|---|---|---|---|")
    for o in translation.full():
        counts = [len(these) for these in (o.ambiguous, o.accepted, o.lost)]
        row = [o.way, o.cases, o.refused, o.forwarded, *counts]
        print("| " + " | ".join(map(str, row)) + " |")
        yield from [*o.ambiguous, *o.accepted, *o.lost, *o.silent]


def _floods() -> Iterable[str]:
    yield from _flooded(flood.run(list(FLOODS), settled=flood.TRIMMED_SECONDS))


def _floods_single() -> Iterable[str]:
    yield from _flooded(flood.run(list(FLOODS), seconds=0, settled=flood.TRIMMED_SECONDS))


def _flooded(outcomes: list[flood.Outcome]) -> Iterable[str]:
    print(flood.table(outcomes))
    for o in outcomes:
        if o.lost or not o.is_alive or o.grown_bytes > GROWN_BYTES:
            yield f"{o}"


def _slow() -> Iterable[str]:
    outcomes = slow.run(slow.WAYS)
    print(slow.table(outcomes))
    for o in outcomes:
        is_expensive = o.way not in slow.EXPENSIVE and o.bytes_each > SLOW_BYTES
        if o.failed_probes or not o.is_alive or o.held < o.connections or is_expensive:
            yield f"{o}"


def _scarce() -> Iterable[str]:
    outcomes = [scarce.comers(), scarce.sleepers(), scarce.descriptors()]
    print(scarce.table(outcomes))
    for o in outcomes:
        yield from o.failures()


def _tls_scan() -> Iterable[str]:
    outcomes = tls_scan.full()
    print(tls_scan.table(outcomes))
    for o in outcomes:
        yield from (f"{o.listener}: {found}" for found in o.findings)


def _rotations() -> Iterable[str]:
    o = rotations.run()
    print("| certificates of the server, of the client | requests | handshakes | failed |")
    print("|---|---|---|---|")
    failed = sum(o.failed_requests.values()) + o.failed_handshakes
    both = f"{o.server_certificates}, {o.client_certificates}"
    print(f"| {both} | {o.requests} | {o.handshakes} | {failed} |")
    yield from rotations.failures(o)


def _paths() -> Iterable[str]:
    outcomes = paths.full()
    print(paths.table(outcomes))
    for o in outcomes:
        yield from [*o.leaked, *o.refused]


def _plugins() -> Iterable[str]:
    print(plugins.HEADER)
    for outcome in plugins.full():
        print(plugins.row(outcome), flush=True)
        yield from plugins.measured_faults(outcome)


def _takeover() -> Iterable[str]:
    outcome = takeover.run()
    print(takeover.table(outcome))
    yield from [*_lost(outcome.carried), *outcome.broken]


def _restart() -> Iterable[str]:
    outcome = restart.run()
    print(restart.table(outcome))
    if outcome.refused or max(outcome.took_ms) > restart.WITHIN_SECONDS * 1000:
        yield f"{outcome}"


def _swaps() -> Iterable[str]:
    outcomes = swaps.run()
    print(swaps.table(outcomes))
    for o in outcomes:
        yield from (f"{o.kind}: {lost}" for lost in _lost(o.carried))


def _badconfig() -> Iterable[str]:
    outcome = bad_config.run()
    print(bad_config.table(outcome))
    yield from [*_lost(outcome.carried), *outcome.unnamed]
    if len(set(outcome.revisions)) > 1:
        yield "something of a bad configuration came into force"


def _lost(carried: Carried) -> Iterable[str]:
    for kind, whys in carried.lost.items():
        yield from (f"lost {count} of {kind}: {why}" for why, count in whys.items())


PARTS: dict[str, Part] = {
    "h1": _h1,
    "hostile": _hostile,
    "h2spec": _h2spec,
    "translation": _translation,
    "floods": _floods,
    "floods-single": _floods_single,
    "slow": _slow,
    "scarce": _scarce,
    "tls-scan": _tls_scan,
    "rotations": _rotations,
    "paths": _paths,
    "plugins": _plugins,
    "takeover": _takeover,
    "restart": _restart,
    "swaps": _swaps,
    "badconfig": _badconfig,
}


def _failures(name: str) -> Iterable[str]:
    """Runs a part; that it cannot run is a failure, and the others go on."""
    try:
        yield from (f"{name}: {what}" for what in PARTS[name]())
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is
        traceback.print_exc()
        yield f"{name}: did not run: {error!r}"


def main() -> None:
    """Runs the parts that are named, or all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(PARTS)}")
    names = parser.parse_args().names
    if unknown := set(names) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}: {', '.join(PARTS)} are")
    failed: list[str] = []
    print(f"{datetime.now(tz=UTC):%Y-%m-%d}, {platform.platform()}, {platform.python_version()}")
    for name in names or PARTS:
        print(f"\n## {name}\n", flush=True)
        failed += _failures(name)
    print("\n".join(["", *failed]))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
