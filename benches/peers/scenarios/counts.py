"""What does not wobble."""

from benches.counts import instructions
from benches.peers.scenario import Measured, Running, Scenario, peers


def _instructions(running: Running, _seconds: float) -> Measured:
    return Measured(instructions(running.setting))


SCENARIOS = [
    Scenario(
        name="instructions",
        title="User instructions for an HTTP/1.1 request",
        unit="instructions",
        measure=_instructions,
        rows=peers("without Python"),
        against="without Python",
        is_fresh=True,
        rounds=1,
    )
]
