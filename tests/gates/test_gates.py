"""A request takes no more instructions and system calls than before, a connection no more bytes."""

import sys
from dataclasses import replace

import pytest
from tests.gates.rules import Numbers


@pytest.fixture(scope="module")
def measured(record_testsuite_property) -> Numbers:
    measured = Numbers.measured()
    record_testsuite_property("gates", str(measured))
    return measured


@pytest.mark.usefixtures("programs")
@pytest.mark.needs("valgrind", "strace")
def test_nothing_became_dearer(measured, capsys):
    with capsys.disabled():
        sys.stdout.write(f"\n{measured}\n")
    exceeded = Numbers.kept().exceeded(measured)
    assert exceeded == [], "mend it, or renew the numbers: see tests/gates/rules.py"


def test_the_rules():
    kept = Numbers(10_000, {"recvfrom": 2.0}, 2_000)
    assert kept.exceeded(replace(kept, instructions=10_300, idle_connection_bytes=2_200)) == []
    assert kept.exceeded(replace(kept, instructions=9_000, system_calls={})) == []
    assert kept.exceeded(replace(kept, instructions=10_301)) == [
        "10301 instructions for a request, not 10000"
    ]
    calls = {"recvfrom": 2.1, "futex": 0.5}
    assert kept.exceeded(replace(kept, system_calls=calls)) == [
        "2.1 calls of recvfrom for a request, not 2.0",
        "0.5 calls of futex for a request, not 0.0",
    ]
    assert kept.exceeded(replace(kept, idle_connection_bytes=2_201)) == [
        "2201 bytes for an idle connection, not 2000"
    ]
