"""A policy that denies a path denies all its spellings, and nothing else."""

import pytest
from tests.reliability import paths
from tests.reliability.path_cases import legal, spellings

# The full form takes all, at nginx too.
EVERY = 8


def test_there_are_enough_spellings():
    assert len(spellings()) >= 5000
    assert len(legal()) >= 200


@pytest.mark.parametrize("origin", paths.ORIGINS)
@pytest.mark.needs("nginx")
def test_no_spelling_of_a_denied_path_reaches_the_file(origin):
    outcome = paths.through(origin, spellings()[::EVERY], legal()[::2])
    assert outcome.direct > 50, "the spellings mean nothing to this origin"
    assert outcome.leaked == []
    assert outcome.refused == []
