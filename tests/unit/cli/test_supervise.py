"""A supervisor whose sidecar is another program."""

import errno
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from meshcore.cli import supervise
from meshcore.cli.supervise import Supervisor

SPAWN = os.posix_spawn
ABOVE = {
    "takeover": False, "restarts": True, "command": [], "proxy_variables": [], "intercept": None,
}  # fmt: skip


@pytest.fixture
def supervisor():
    """One that has started nothing, and leaves the signals as they were."""
    numbers = (*supervise._TOLD, signal.SIGHUP, *supervise._FORWARDED, signal.SIGCHLD)
    before = {number: signal.getsignal(number) for number in numbers}
    one = Supervisor("{}", ABOVE)
    yield one
    signal.set_wakeup_fd(-1)
    for number, heard in before.items():
        signal.signal(number, heard)
    one._woken.close()
    one._wakes.close()


def program(monkeypatch, *command):
    """Starts this in place of each sidecar; returns the list of their processes."""
    started = []

    def spawn(_path, _command, environment, **more):
        more["setsigdef"] = [signal.SIGHUP]  # also when the tests run below nohup
        started.append(SPAWN(f"/bin/{command[0]}", command, environment, **more))
        return started[-1]

    monkeypatch.setattr(os, "posix_spawn", spawn)
    return started


def test_one_that_cannot_be_started_again_is_started_later(supervisor, monkeypatch, capfd):
    def none_left(*_arguments, **_more):
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "posix_spawn", none_left)
    before = set(Path("/proc/self/fd").iterdir())
    for pause in ("0.1", "0.2"):
        supervisor._start_at = 0.0
        assert supervisor._turn() is None
        said = capfd.readouterr().err
        assert "cannot be started ([Errno 11] Resource temporarily unavailable)" in said
        assert f"starting it again in {pause} s" in said
    assert set(Path("/proc/self/fd").iterdir()) == before
    started = program(monkeypatch, "true")
    supervisor._start_at = 0.0
    assert supervisor._turn() is None
    assert supervisor._sidecar == started[0]
    supervisor._close()


def test_a_signal_while_the_sidecar_is_started_reaches_it(supervisor, monkeypatch):
    started = program(monkeypatch, "sleep", "60")
    spawn = os.posix_spawn

    def told_meanwhile(*arguments, **more):
        pid = spawn(*arguments, **more)
        os.kill(os.getpid(), signal.SIGTERM)
        return pid

    monkeypatch.setattr(os, "posix_spawn", told_meanwhile)
    rescue = threading.Timer(10, lambda: os.kill(started[0], signal.SIGKILL))
    rescue.start()
    assert supervisor.run() == 128 + signal.SIGTERM
    rescue.cancel()


def test_a_signal_while_the_sidecar_is_buried_is_no_error(supervisor, monkeypatch):
    program(monkeypatch, "true")
    wait = os.waitpid

    def told_meanwhile(pid, options):
        ended = wait(pid, options)
        if ended[0]:
            os.kill(os.getpid(), signal.SIGHUP)
        return ended

    monkeypatch.setattr(os, "waitpid", told_meanwhile)
    assert supervisor.run() == 0


def test_sighup_does_not_end_a_sidecar_that_starts(supervisor, monkeypatch):
    (pid,) = _started(supervisor, monkeypatch)
    supervisor._heard(signal.SIGHUP, None)
    supervisor._forward()
    time.sleep(0.1)  # in which it would have died
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    supervisor._is_ready = True
    supervisor._heard(signal.SIGHUP, None)
    supervisor._forward()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGHUP
    supervisor._hang_up()


def test_a_sidecar_that_does_not_end_is_ended(supervisor, monkeypatch):
    (pid,) = _started(supervisor, monkeypatch)
    monkeypatch.setattr(supervise, "END_SECONDS", 0.05)
    supervisor._close()
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _started(supervisor, monkeypatch):
    started = program(monkeypatch, "sleep", "60")
    supervisor._start()
    return started
