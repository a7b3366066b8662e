"""HTTP/1 corpus: malformed and legal requests through meshcore and its peers."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.reliability import rig
from tests.reliability.h1_attack import Outcome, attack, judge_legal, judge_malformed
from tests.reliability.h1_cases import Case, malformed
from tests.reliability.h1_legal_cases import legal
from tests.reliability.h1_origin import Origin


def through(
    name: str, bad: Sequence[Case], good: Sequence[Case], *, inbound: bool = False
) -> Outcome:
    """Sends both corpora through a proxy of that name."""
    with (
        tempfile.TemporaryDirectory(prefix="meshcore-h1-") as directory,
        Origin().running() as origin,
        rig.proxy(name, Path(directory), origin.port) as proxy,
    ):
        port = proxy.inbound if inbound else proxy.port
        told_bad = asyncio.run(attack(port, bad))
        told_good = asyncio.run(attack(port, good, len(bad) + 1))
        asyncio.run(asyncio.sleep(0.5))  # the last connections of the origin end
        label = f"{name} {'inbound' if inbound else 'outbound'}" if proxy.inbound else name
        outcome = judge_malformed(label, bad, told_bad, origin)
        judge_legal(outcome, good, told_good, origin, len(bad) + 1)
        outcome.is_alive = proxy.is_alive()
        return outcome


def table(outcomes: Sequence[Outcome]) -> str:
    """Returns the comparison, as Markdown."""
    rows = [
        ("cases", lambda o: o.cases),
        ("refused before the origin", lambda o: o.refused),
        ("arrived clean", lambda o: o.forwarded),
        ("head arrived, body cut (safe)", lambda o: o.cut),
        ("**ambiguous at the origin**", lambda o: len(o.ambiguous)),
        ("**a hidden request arrived**, because the reading was lenient", lambda o: len(o.hidden)),
        (
            "unclean at the origin (odd host, control byte, fragment, trailer)",
            lambda o: len(o.unclean),
        ),
        ("answered although no reading is right", lambda o: len(o.accepted)),
        ("open after a refusal", lambda o: len(o.kept)),
        ("legal requests that did not arrive", lambda o: len(o.lost)),
        ("alive", lambda o: "yes" if o.is_alive else "**no**"),
    ]
    head = "| | " + " | ".join(o.proxy for o in outcomes) + " |"
    lines = [head, "|---" * (len(outcomes) + 1) + "|"]
    lines += [f"| {what} | " + " | ".join(str(of(o)) for o in outcomes) + " |" for what, of in rows]
    return "\n".join(lines)


def full() -> list[Outcome]:
    """Runs everything; what fails is shown."""
    bad, good = malformed(), legal()
    outcomes = [through("meshcore", bad, good), through("meshcore", bad, good, inbound=True)]
    outcomes += [through(name, bad, good) for name in rig.PEERS]
    return outcomes
