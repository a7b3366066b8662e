import os
import signal
import time
from pathlib import Path

import pytest

from meshcore.control.application import Application
from meshcore.errors import StartFailed


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def until_ended(application):
    application._process.wait(10)
    return application.status()


def test_the_exit_status_is_the_one_of_a_shell():
    assert until_ended(Application(["sh", "-c", "exit 5"], {})) == 5
    assert until_ended(Application(["sh", "-c", "kill -9 $$"], {})) == 137


def test_it_runs_until_it_is_asked_to_end():
    one = Application(["sleep", "60"], {})
    assert one.status() is None
    assert one.stop(10) == 0  # SIGTERM ended it, as was asked
    assert one.status() == 143


def test_one_that_does_not_end_is_ended(tmp_path):
    ready = tmp_path / "ready"
    one = Application(["sh", "-c", f"trap '' TERM; touch {ready}; while :; do sleep 0.1; done"], {})
    until(ready.exists)
    assert one.stop(0.05) == 137


def test_processes_that_it_started_get_signals_as_well(tmp_path):
    ready, done = tmp_path / "ready", tmp_path / "done"
    inner = f"trap 'touch {done}; exit' USR1; touch {ready}; while :; do sleep 0.01; done"
    one = Application(["sh", "-c", f'trap : USR1; sh -c "{inner}"; sleep 60'], {})
    until(ready.exists)
    one.send(signal.SIGUSR1)
    until(done.exists)
    one.stop(0.2)


def test_it_finds_what_it_is_told():
    assert until_ended(Application(["sh", "-c", 'test "$WHERE" = here'], {"WHERE": "here"})) == 0


def test_a_program_that_cannot_run_is_named():
    with pytest.raises(StartFailed, match="/no/such: no such file"):
        Application(["/no/such"], {})


STUBBORN = "trap '' TERM; touch {}; while :; do sleep 0.05; done"


def is_gone(pid_file):
    """Whether the process is no more, or waits to be looked after by nobody."""
    status = Path("/proc", pid_file.read_text().strip(), "stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def starts(tmp_path, inner, then):
    """Starts a shell that starts another one, and writes its process id down."""
    pid, ready = tmp_path / "pid", tmp_path / "ready"
    one = Application(["sh", "-c", f'sh -c "{inner}" & echo $! > {pid}; {then}'], {})
    until(ready.exists)
    return one, pid


def test_what_it_started_is_ended_although_it_has_ended(tmp_path):
    one, pid = starts(tmp_path, STUBBORN.format(tmp_path / "ready"), "sleep 60")
    assert one.stop(0.2) == 0
    until(lambda: is_gone(pid))


def test_what_it_leaves_is_ended(tmp_path):
    one, pid = starts(tmp_path, STUBBORN.format(tmp_path / "ready"), "exit 5")
    assert until_ended(one) == 5
    assert one.stop(0.2) == 5
    until(lambda: is_gone(pid))


def test_what_it_started_has_time_to_end(tmp_path):
    ready, done = tmp_path / "ready", tmp_path / "done"
    inner = (
        f"trap 'sleep 0.3; touch {done}; exit' TERM; touch {ready}; while :; do sleep 0.01; done"
    )
    one, _ = starts(tmp_path, inner, "sleep 60")
    assert one.stop(20) == 0
    assert done.exists()


def test_nothing_is_sent_after_it_was_stopped(monkeypatch):
    one = Application(["sleep", "60"], {})
    one.stop()
    sent = []
    monkeypatch.setattr(os, "killpg", lambda *signal: sent.append(signal))
    one.kill()
    one.send(signal.SIGUSR1)
    assert one.stop() == 0
    assert sent == []
