"""HTTP/1: what can be read in two ways does not reach an origin, and what is right does."""

import pytest
from tests.reliability import h1
from tests.reliability.h1_cases import malformed
from tests.reliability.h1_legal_cases import legal
from tests.reliability.rfc9112 import judge

# The full form takes the corpus whole.
EVERY = 3


def test_the_corpus_is_as_large_as_it_says():
    assert len(malformed()) >= 2000
    assert len(legal()) >= 250


@pytest.mark.parametrize("inbound", [False, True], ids=["outbound", "inbound"])
def test_no_ambiguous_request_reaches_the_origin(inbound):
    outcome = h1.through("meshcore", malformed()[::EVERY], legal()[::EVERY], inbound=inbound)
    assert outcome.ambiguous == []
    assert outcome.hidden == []
    assert outcome.unclean == []
    assert outcome.accepted == []
    assert outcome.kept == []
    assert outcome.lost == []
    assert outcome.is_alive
    assert outcome.refused > outcome.cases / 2


@pytest.mark.parametrize(
    ("came", "why"),
    [
        (b"GET / HTTP/1.1\nHost: a\n\n", "bare LF"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "2 hosts"),
        (b"GET / HTTP/1.1\r\n\r\n", "0 hosts"),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "encodings"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent_Length: 1\r\n\r\n", "alias"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", "field line"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a\r\n", "extension"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n", "overflows"),
    ],
)
def test_the_judge_is_strict(came, why):
    assert why in judge(came).ambiguous


def test_the_judge_reads_what_is_right():
    verdict = judge(
        b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1\r\nx\r\n0\r\nT: u\r\n\r\n"
        b"GET /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n012"
    )
    assert (verdict.ambiguous, verdict.unclean, verdict.cut) == ("", [], True)
    (message,) = verdict.messages
    assert (message.target, message.body, message.trailers) == (b"/a", b"x", [(b"t", b"u")])
