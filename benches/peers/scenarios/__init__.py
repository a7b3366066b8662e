"""All scenarios, in the order of measuring and showing. One more is an entry in a file here."""

from itertools import chain

from benches.peers.scenario import Scenario
from benches.peers.scenarios import counts, http, memory, policy, tcp, tls

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in chain.from_iterable(
        module.SCENARIOS for module in (http, tls, tcp, policy, memory, counts)
    )
}
