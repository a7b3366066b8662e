"""Messages with descriptors between two processes, here between two ends of one."""

import json
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from meshcore.control import passing
from meshcore.control.passing import MOST_BYTES, Gone


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5)
        theirs.settimeout(5)
        yield ours, theirs


def test_more_descriptors_than_the_kernel_takes_at_once_arrive_with_their_purposes(ends):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pairs = [(f"purpose {number}", listener.fileno()) for number in range(450)]
        passing.send(ends[0], {"known": True}, pairs)
        passing.send(ends[0], {"next": 1})
        message, got = passing.receive(ends[1])
        assert message == {"known": True}
        assert [purpose for purpose, _ in got] == [purpose for purpose, _ in pairs]
        for _, descriptor in got:
            assert os.path.sameopenfile(descriptor, listener.fileno())
            assert not os.get_inheritable(descriptor)
        passing.close(got)
        assert passing.receive(ends[1]) == ({"next": 1}, [])


def test_the_end_is_told(ends):
    ends[0].close()
    with pytest.raises(Gone):
        passing.receive(ends[1])
    with pytest.raises(Gone):
        passing.send(ends[1], {"anybody": "there"})


def test_silence_is_told(ends):
    ends[1].settimeout(0.05)
    with pytest.raises(Gone) as gone:
        passing.receive(ends[1])
    assert isinstance(gone.value.__cause__, TimeoutError)


def test_a_message_in_small_bits_takes_no_longer_than_one_in_silence(ends):
    def dribble():
        data = json.dumps({"purposes": [], "long": "x" * 100}).encode()
        with suppress(OSError):
            for byte in len(data).to_bytes(4, "big") + data:
                ends[0].sendall(bytes([byte]))
                time.sleep(0.02)

    ends[1].settimeout(0.1)
    thread = threading.Thread(target=dribble)
    thread.start()
    with pytest.raises(Gone) as gone:
        passing.receive(ends[1])
    assert isinstance(gone.value.__cause__, TimeoutError)
    assert ends[1].gettimeout() == 0.1
    ends[1].close()
    thread.join()


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00\x00\x02{}",
        b"\x00\x00\x00\x02[]",
        b"\x00\x00\x00\x03{,}",
        b'\x00\x00\x00\x0f{"purposes": 7}',
        b'\x00\x00\x00\x11{"purposes":["a"]}x',
        (MOST_BYTES + 1).to_bytes(4, "big"),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00\x00",
    ],
)  # fmt: skip
def test_what_is_no_message_is_refused(ends, data):
    ends[0].sendall(data)
    ends[0].shutdown(socket.SHUT_WR)
    with pytest.raises(Gone):
        passing.receive(ends[1])


def test_a_message_that_breaks_off_leaves_no_descriptor(ends):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        data = b'{"purposes": ["a", "b"]}'
        ends[0].sendall(len(data).to_bytes(4, "big") + data)
        socket.send_fds(ends[0], [b"\0"], [listener.fileno()])
        ends[0].shutdown(socket.SHUT_WR)
        before = len(list(Path("/proc/self/fd").iterdir()))
        with pytest.raises(Gone):
            passing.receive(ends[1])
        assert len(list(Path("/proc/self/fd").iterdir())) == before
