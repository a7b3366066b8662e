"""Bad plugins fail alone: their routes get the declared answer, the others lose nothing."""

import pytest
from tests.reliability import plugins
from tests.reliability.plugin_cases import CASES

pytestmark = pytest.mark.needs("nginx")

SECONDS = 0.4


def _faults(cases, *, isolate):
    with plugins.served(cases, isolate=isolate, is_short=True) as served:
        calm = served.calm(SECONDS)
        for case in cases:
            yield from served.measure(case, calm, SECONDS).faults()


def test_there_are_enough_bad_plugins():
    assert len(CASES) >= 16


def test_in_process_a_bad_plugin_harms_only_its_own_routes():
    # What holds the interpreter last: the others would never be called.
    cases = sorted((c for c in CASES.values() if not c.kills), key=lambda case: case.holds)
    assert list(_faults(cases, isolate=False)) == []


def test_in_a_process_of_its_own_even_one_that_kills_it_is_survived():
    assert list(_faults(list(CASES.values()), isolate=True)) == []
