"""Processes: commands as they are typed, and their end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from meshcore.demo.processes import Command, Processes
from meshcore.errors import StartFailed

PYTHON = [sys.executable, "-P"]
# Starts a sleeper in a session of its own, says its pid, and waits.
PARENT = """
import sys, time
from pathlib import Path
from meshcore.demo.processes import Command, Processes
processes = Processes(Path(sys.argv[1]))
processes.start("sleeper", Command.of("sleep 300"))
print(processes.running["sleeper"].pid, flush=True)
time.sleep(300)
"""


@pytest.fixture
def processes(tmp_path):
    made = Processes(tmp_path)
    yield made
    made.end()


def is_there(pid: int) -> bool:
    """Whether a process runs; one that nobody waits for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_command_is_shown_as_it_is_typed():
    line = "sed -i 's/a b/c/' mesh/mesh.yaml"
    assert str(Command.of(line)) == line
    assert Command.of(line).arguments() == ["sed", "-i", "s/a b/c/", "mesh/mesh.yaml"]


def test_meshcore_and_python_are_those_of_this_process():
    command = Command.of("meshcore run --service python -- python -m http.server")
    assert command.arguments() == [
        *PYTHON, "-m", "meshcore", "run", "--service", "python", "--", *PYTHON, "-m", "http.server",
    ]  # fmt: skip


def test_what_a_command_prints_and_how_it_ends(processes):
    ran = processes.run(Command.of("""python -c 'print("said"); raise SystemExit(3)'"""))
    assert (ran.status, ran.output) == (3, "said\n")


def test_a_program_that_is_not_there_is_said(processes):
    ran = processes.run(Command.of("no-such-program"))
    assert (ran.status, ran.output) == (127, "no-such-program: no such file or directory")


def test_settings_for_other_meshes_do_not_reach_it(processes, monkeypatch):
    monkeypatch.setenv("MESHCORE_STATE", "/elsewhere")
    ran = processes.run(Command.of("""python -c 'import os; print(*os.environ)'"""))
    assert "PATH" in ran.output.split()
    assert "MESHCORE_STATE" not in ran.output


def test_ready_is_who_has_written_its_file(processes):
    for name in ("one", "two"):
        processes.start(name, Command.of(f"sh -c 'touch {name}.ready; exec sleep 300'"))
    assert set(processes.wait_ready(["one", "two"])) == {"one", "two"}
    assert processes.ended() is None


def test_one_that_ends_while_it_starts_is_shown_with_its_log(processes):
    processes.start("one", Command.of("sh -c 'echo port taken; exit 1'"))
    with pytest.raises(StartFailed, match=r"one ended while it started:\n  port taken"):
        list(processes.wait_ready(["one"]))
    assert processes.ended() == "one"


def test_one_that_is_not_ready_in_time_is_shown(processes, monkeypatch):
    monkeypatch.setattr("meshcore.demo.processes.READY_WITHIN_SECONDS", 0.2)
    processes.start("one", Command.of("sleep 300"))
    with pytest.raises(StartFailed, match="one not ready within"):
        list(processes.wait_ready(["one"]))


def test_one_that_does_not_end_is_ended(processes, monkeypatch):
    monkeypatch.setattr("meshcore.demo.processes._END_WITHIN_SECONDS", 0.2)
    script = "sh -c 'trap \"\" TERM; touch one.ready; while :; do sleep 0.1; done'"
    processes.start("one", Command.of(script))
    list(processes.wait_ready(["one"]))
    processes.end()
    assert processes.running["one"].returncode == -signal.SIGKILL


def test_they_end_when_their_parent_is_killed(tmp_path):
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        deadline = time.monotonic() + 30
        while b"sleep" not in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]:
            assert time.monotonic() < deadline  # it becomes the command only now
            time.sleep(0.01)
        parent.kill()
    while is_there(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_one_whose_parent_is_gone_already_does_not_begin():
    bound = [sys.executable, "-m", "meshcore.demo.bound", str(os.getpid() + 1), "echo", "here"]
    done = subprocess.run(bound, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
