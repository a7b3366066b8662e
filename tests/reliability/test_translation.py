"""What cannot be said in one version of HTTP does not come out of a translation into it."""

import pytest
from tests.reliability import h2_wire, translation
from tests.reliability.h1_cases import malformed
from tests.reliability.h1_legal_cases import legal
from tests.reliability.h2_cases import harmless
from tests.reliability.h2_cases import legal as h2_legal
from tests.reliability.h2_cases import malformed as h2_malformed

# The full form takes each corpus whole.
EVERY = 3


def test_there_are_enough_cases():
    assert len(h2_malformed()) >= 700


def test_http2_becomes_http1_without_ambiguity():
    outcome = translation.down(h2_malformed()[::EVERY], harmless()[::EVERY], h2_legal()[::2])
    _holds(outcome)
    assert outcome.silent == []


def test_http1_becomes_http2_without_what_http2_forbids():
    _holds(translation.up(malformed()[::EVERY], legal()[::EVERY]))


def _holds(outcome):
    assert outcome.ambiguous == []
    assert outcome.accepted == []
    assert outcome.lost == []
    assert outcome.is_alive
    assert outcome.forwarded > 50
    assert outcome.refused > 200


@pytest.mark.parametrize(
    ("fields", "body", "why"),
    [
        ([(b":method", b"GET"), (b":path", b"/"), (b":scheme", b"http")], b"", "pseudo-fields"),
        ([(b"x", b"y"), (b":method", b"GET")], b"", "pseudo-field after"),
        ([(b"X", b"y")], b"", "name"),
        ([(b"connection", b"close")], b"", "field of a connection"),
        ([(b"x", b"a\r\nb")], b"", "value"),
        ([(b"content-length", b"3")], b"ab", "lengths"),
    ],
)
def test_the_judge_is_strict(fields, body, why):
    assert any(why in said for said in translation.wrong(h2_wire.Stream(fields, body)))
