"""One client cannot take the data plane from the others, by floods or by slowness."""

import pytest
from tests.reliability import flood, slow
from tests.reliability.flood_cases import FLOODS

pytestmark = pytest.mark.needs("nginx")

# Far above what is measured in the full form: other tests share the machine.
MOST_GROWN_BYTES = 16 * 2**20
MOST_WAITED_MS = 2000


def test_there_are_enough_floods():
    assert len(FLOODS) >= 15


@pytest.mark.parametrize(
    "name",
    ["rapid reset", "made to reset: window overflow", "CONTINUATION", "cookie crumbs", "PING"],
)
def test_a_flood_takes_nothing_from_a_bystander(name):
    (outcome,) = flood.run([name], seconds=0.5)
    assert outcome.is_alive
    assert outcome.runs >= 1
    assert outcome.lost == 0
    assert 0 < outcome.p99_ms < MOST_WAITED_MS
    assert outcome.grown_bytes < MOST_GROWN_BYTES


@pytest.mark.parametrize("name", ["rapid reset", "CONTINUATION", "cookie crumbs", "empty DATA"])
def test_a_connection_that_floods_is_closed(name):
    (outcome,) = flood.run([name], seconds=0)
    assert outcome.ended == "closed by the proxy"


def test_hundreds_of_slow_clients_cost_little_and_keep_nobody_waiting():
    outcomes = slow.run([way for way in slow.WAYS if not way.forwarded], 400, wait=False)
    assert [o.way for o in outcomes if o.held != o.connections] == []
    assert [o.way for o in outcomes if o.failed_probes or not o.is_alive] == []
    assert max(o.probe_max_ms for o in outcomes) < MOST_WAITED_MS
    assert max(o.bytes_each for o in outcomes) < 64 * 1024
