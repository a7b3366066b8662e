import signal
import time

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
