"""Ranges of addresses, and doors."""

import socket
from contextlib import closing

import pytest

from meshcore.demo import addresses
from meshcore.demo.addresses import DOOR, WORKLOADS, Taken, taken
from meshcore.errors import StartFailed


def listener(host: str, port: int = 0) -> socket.socket:
    made = socket.socket()
    made.bind((host, port))
    made.listen()
    return made


def test_two_at_once_have_nothing_in_common():
    with taken(None) as one, taken(None) as two:
        assert one.prefix != two.prefix
        assert one.door_port != two.door_port


def test_what_was_closed_is_taken_again():
    with taken(None) as one:
        pass
    with taken(None) as two:
        assert one == two


def test_a_range_in_which_something_listens_is_passed_over():
    with taken(None) as one:
        pass
    with closing(listener(one.address("ratings"), 9080)), taken(None) as two:
        assert two.prefix != one.prefix


def test_a_door_in_use_is_an_error_that_says_what_to_do():
    with closing(listener(DOOR)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(StartFailed, match=rf"port {port} is in use .*--port"), taken(port):
            pass


def test_a_door_that_another_demo_has_is_in_use():
    with taken(None) as one, pytest.raises(StartFailed, match="in use"), taken(one.door_port):
        pass


def test_a_port_in_use_at_all_addresses_is_named(monkeypatch):
    with closing(listener("0.0.0.0")) as busy:  # noqa: S104 - that is the case
        port = busy.getsockname()[1]
        monkeypatch.setattr(addresses, "PROGRAM_PORT", port)
        with pytest.raises(StartFailed, match=rf":{port} is in use.*ss -ltnp"), taken(None):
            pass


def test_files_are_fitted_to_the_range():
    one = Taken("127.87.3.", 8080)
    text = " ".join(f"127.87.0.{last}:9080" for last in WORKLOADS.values())
    assert one.fitted(text).split()[0] == f"{one.address('shop')}:9080"
    assert "127.87.0." not in one.fitted(text)
