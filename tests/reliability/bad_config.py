"""Bad configurations one after the other under load: each is refused, and nothing is lost."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.harness import eventually
from tests.reliability.bad_config_cases import Bad, cases
from tests.reliability.traffic import Carried, Traffic, traffic

RATE = 1000.0
# What a destination of the corpus means.
_SUBSETS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: api, namespace: default}
spec:
  host: api.default.svc.cluster.local
  subsets: [{name: v1, labels: {version: v1}}]
"""


@dataclass
class Outcome:
    """What became of bad configurations."""

    configurations: int
    refused: int = 0
    carried: Carried = field(default_factory=Carried)
    unnamed: list[str] = field(default_factory=list)
    """Those of which the refusal does not say line and field."""
    revisions: list[int] = field(default_factory=list)
    """What was in force after each; it should stay the same."""


def run(bad: Sequence[Bad] | None = None, rate: float = RATE) -> Outcome:
    """Saves each of them, under load."""
    bad = cases() if bad is None else bad
    outcome = Outcome(len(bad))
    with (
        tempfile.TemporaryDirectory(prefix="meshcore-bad-") as directory,
        traffic(Path(directory), rate) as carrying,
    ):
        carrying.mesh.write(_SUBSETS, "subsets.yaml")
        carrying.settled()
        for one in bad:
            _refuse(carrying, one, outcome)
        outcome.carried = carrying.end()
    return outcome


def _refuse(carrying: Traffic, bad: Bad, outcome: Outcome) -> None:
    before = _refusal(carrying)[0]
    carrying.mesh.write(bad.text, "extra.yaml")
    _, why = eventually(lambda: (now := _refusal(carrying))[0] > before and now)
    outcome.refused += 1
    outcome.revisions.append(carrying.web.status()["revision"])
    lines = [line for line in why.splitlines() if f"extra.yaml:{bad.line}:" in line]
    if not any(bad.field in line for line in lines):
        outcome.unnamed.append(f"{bad.wrong}: {why}")


def _refusal(carrying: Traffic) -> tuple[int, str]:
    """Returns number and reason of what was refused last."""
    refusals = [(one["revision"], one["why"]) for one in carrying.web.status()["refusals"]]
    return max(refusals, default=(0, ""))


def table(outcome: Outcome) -> str:
    """Returns the figures, as Markdown."""
    named = outcome.refused - len(outcome.unnamed)
    carried = outcome.carried
    return (
        "| bad configurations | refused | with field and line | questions meanwhile | lost |\n"
        "|---|---|---|---|---|\n"
        f"| {outcome.configurations} | {outcome.refused} | {named} | {carried.asked}"
        f" | {carried.lost_count} |"
    )
