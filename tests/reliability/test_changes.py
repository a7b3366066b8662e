"""What changes under load loses nothing: processes, documents, and documents that are wrong."""

from tests.reliability import bad_config, swaps, takeover
from tests.reliability.bad_config_cases import cases

# The full form takes all.
EVERY = 60
RATE = 200.0


def test_two_takeovers_in_a_row_lose_nothing():
    outcome = takeover.run(2, RATE, 0.5)
    assert outcome.broken == []
    assert outcome.carried.lost == {}
    assert outcome.carried.asked > RATE
    assert outcome.long == {"uploads": 4, "WebSockets": 2, "gRPC streams": 2}


def test_swaps_of_all_kinds_lose_nothing():
    carried = swaps.swap(tuple(swaps.KINDS), 2, RATE).carried
    assert carried.lost == {}
    assert min(carried.by_kind.values()) > 0


def test_there_are_enough_bad_configurations():
    assert len({bad.text for bad in cases()}) == len(cases()) >= 300


def test_bad_configurations_are_refused_with_field_and_line_and_lose_nothing():
    outcome = bad_config.run(cases()[::EVERY], RATE)
    assert outcome.unnamed == []
    assert outcome.carried.lost == {}
    assert outcome.refused == outcome.configurations > 0
    assert len(set(outcome.revisions)) == 1
