import contextlib
import http.client
import json
import socket
import threading
import time

import pytest

from meshcore.control import pages
from meshcore.control.pages import Page, Pages, json_page
from meshcore.errors import NativeError, StartFailed


def fail():
    raise NativeError("it is gone")


SHOWN = {
    "/metrics": Page("text/plain", lambda: b"metrics\n"),
    "/debug/syncz": json_page(lambda: {"a": 1}, is_debug=True),
    "/broken": Page("text/plain", fail),
}


@pytest.fixture
def served():
    shown = Pages("127.0.0.1", 0, SHOWN, exposes_debug=False)
    yield shown
    shown.close()


def ask(served, path, host=None, method="GET", body=None):
    connection = http.client.HTTPConnection(served.address, timeout=5)
    connection.request(method, path, body, {"Host": host} if host else {})
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


def test_pages_are_shown(served):
    assert ask(served, "/metrics") == (200, b"metrics\n")
    status, body = ask(served, "/debug/syncz?proxy=x")
    assert (status, json.loads(body)) == (200, {"a": 1})
    assert ask(served, "/metrics", method="HEAD") == (200, b"")


def test_what_is_not_there_says_what_is(served):
    status, body = ask(served, "/nothing")
    assert status == 404
    assert b"/debug/syncz" in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_reading_is_allowed(served, method):
    assert ask(served, "/metrics", method=method, body="x" * 100)[0] == 405


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:15014", 200),
        ("127.0.0.1", 200),
        ("[::1]:15014", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("10.0.0.1", 403),
        ("", 403),
    ],
)
def test_debug_pages_are_not_for_pages_of_the_web(served, host, status):
    assert ask(served, "/debug/syncz", host or " ")[0] == status
    assert ask(served, "/metrics", host or " ")[0] == 200


def test_debug_pages_may_be_exposed():
    shown = Pages("127.0.0.1", 0, SHOWN, exposes_debug=True)
    assert ask(shown, "/debug/syncz", "control.example")[0] == 200
    shown.close()


def test_a_failure_is_an_answer(served):
    assert ask(served, "/broken") == (500, b"it is gone\n")


def test_a_port_that_is_taken_is_named(served):
    port = int(served.address.rpartition(":")[2])
    with pytest.raises(StartFailed, match=f"127.0.0.1:{port}: address already in use"):
        Pages("127.0.0.1", port, SHOWN, exposes_debug=False)


def test_many_who_wait_do_not_keep_others_out(monkeypatch):
    monkeypatch.setattr(pages, "MOST_AT_ONCE", 2)
    monkeypatch.setattr(pages._Handler, "timeout", 0.3)
    shown = Pages("127.0.0.1", 0, SHOWN, exposes_debug=False)
    host, _, port = shown.address.rpartition(":")
    idle = [socket.create_connection((host, int(port))) for _ in range(2)]
    for connection in idle:
        connection.settimeout(5)
        assert connection.recv(1) == b""
    waiting = threading.Event()
    for _ in range(100):
        try:
            assert ask(shown, "/metrics")[0] == 200
            break
        except (OSError, http.client.HTTPException):
            waiting.wait(0.05)
    else:
        pytest.fail("no connection is taken any more")
    for connection in idle:
        connection.close()
    shown.close()


def test_what_listens_everywhere_is_found_here():
    shown = Pages("0.0.0.0", 0, SHOWN, exposes_debug=False)  # noqa: S104 - what is asked
    assert shown.address.startswith("127.0.0.1:")
    assert ask(shown, "/debug/syncz")[0] == 200
    shown.close()


def test_a_client_that_takes_its_time_is_hung_up_on(monkeypatch):
    monkeypatch.setattr(pages, "WITHIN_SECONDS", 0.3)
    shown = Pages(
        "127.0.0.1", 0, {"/ready": Page("text/plain", lambda: b"ok")}, exposes_debug=False
    )
    host, _, port = shown.address.rpartition(":")
    with socket.create_connection((host, int(port)), 10) as slow:
        until = time.monotonic() + 5
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while time.monotonic() < until:  # one byte after the other, each in time
                slow.sendall(b"G")
                time.sleep(0.05)
    assert time.monotonic() < until
    shown.close()
