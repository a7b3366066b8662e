"""Want of memory and of descriptors is lived through, and told once."""

import pytest
from tests.reliability import scarce

pytestmark = pytest.mark.needs("nginx")


@pytest.mark.parametrize("press", [scarce.comers, scarce.sleepers])
def test_a_limit_of_memory_is_never_passed_and_clients_are_told(press):
    if not scarce.can_limit_memory():
        pytest.skip("control groups cannot be made here: be root, with /sys/fs/cgroup writable")
    assert list(press().failures()) == []


def test_without_descriptors_clients_are_refused_until_there_are_some():
    outcome = scarce.descriptors()
    assert list(outcome.failures()) == []
    assert outcome.refused == outcome.clients // 2
