"""What a hostile origin says to one client never reaches another."""

from tests.reliability import hostile
from tests.reliability.hostile_cases import Fate, answers

# The full form takes all.
EVERY = 4


def test_there_are_enough_answers():
    assert len(answers()) >= 60
    assert sum(answer.fate is Fate.TAKEN for answer in answers()) >= 15


def test_nothing_of_a_hostile_answer_reaches_the_next_client():
    outcome = hostile.through("meshcore", answers()[::EVERY])
    assert outcome.leaked == []
    assert outcome.starved == []
    assert outcome.passed_on == []
    assert outcome.refused == []
    assert outcome.is_alive
