"""`meshcore demo`, as a person or a program starts it."""

import json
import os
import pty
import select
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.integration.harness import MESHCORE, connects, eventually

# Less on an idle machine, where the whole of it is to be done within 30 s; tests share theirs.
WHOLE_WITHIN_SECONDS = 120


@contextmanager
def demo(*arguments, **environment):
    """A demo whose lines of JSON are read as they come."""
    command = [str(MESHCORE), "demo", "--json", *arguments]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, **environment},  # noqa: TID251 - handed on
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def line(running) -> dict:
    found = running.stdout.readline()
    assert found, "it has ended"
    return json.loads(found)


def processes(directory: str) -> list[int]:
    """Returns what runs in a directory, or did when that was removed."""

    def where(pid: str) -> str:
        try:
            return str(Path(f"/proc/{pid}/cwd").readlink())
        except OSError:
            return ""  # it has ended, or is nobody's any more

    pids = [path.name for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return [int(pid) for pid in pids if where(pid).startswith(directory)]


def port_of(url: str) -> int:
    return int(url.rstrip("/").rpartition(":")[2])


def test_every_step_shows_what_it_should(tmp_path):
    with demo("--check", TMPDIR=str(tmp_path)) as running:
        lines = [json.loads(text) for text in running.stdout]
        assert running.wait(10) == 0, lines
    names = [found["step"] for found in lines]
    assert names == ["start", "graph", "shift", "delay", "deny", "policy", "mistake", "end"]
    assert [found["step"] for found in lines if not found["holds"]] == []
    by_name = dict(zip(names, lines, strict=True))
    assert "AuthorizationPolicy default/ratings-callers" in by_name["deny"]["measured"]["reason"]
    assert by_name["delay"]["measured"]["after_ms"]["v2"] >= 300
    assert by_name["end"]["lost"] == 0
    assert by_name["end"]["seconds"] < WHOLE_WITHIN_SECONDS
    eventually(lambda: not processes(by_name["start"]["directory"]), within=2)
    assert list(tmp_path.iterdir()) == []


def test_two_at_once_do_not_meet():
    with demo("--step", "shift", "--keep") as one, demo("--step", "policy", "--keep") as two:
        started = line(one), line(two)
        assert started[0]["url"] != started[1]["url"]
        assert started[0]["directory"] != started[1]["directory"]
        assert (line(one)["holds"], line(two)["holds"]) == (True, True)
        assert line(one)["lost"] == line(two)["lost"] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_nothing_is_left_when_it_ends(number, tmp_path):
    with demo("--step", "policy", "--keep", TMPDIR=str(tmp_path)) as running:
        started = line(running)
        while line(running)["step"] != "end":
            pass
        assert connects("127.0.0.1", port_of(started["url"]))
        assert len(processes(started["directory"])) >= 13  # 7 sidecars, 6 programs
        running.send_signal(number)
        ended = running.wait(20)
        assert ended == (-number if number == signal.SIGKILL else 0)
        eventually(lambda: not processes(started["directory"]))
    if number != signal.SIGKILL:
        assert list(tmp_path.iterdir()) == []


def test_a_tour_that_is_interrupted_says_so(tmp_path):
    with demo(TMPDIR=str(tmp_path)) as running:
        line(running)
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 130
    assert list(tmp_path.iterdir()) == []


def test_a_sidecar_that_ends_ends_the_demo():
    with demo("--step", "policy", "--keep") as running:
        started = line(running)
        while line(running)["step"] != "end":
            pass
        ratings = next(
            pid
            for pid in processes(started["directory"])
            if b'"service":"ratings"' in Path(f"/proc/{pid}/cmdline").read_bytes()
        )
        os.kill(ratings, signal.SIGKILL)
        assert running.wait(20) == 1
    eventually(lambda: not processes(started["directory"]))


def test_without_a_terminal_it_does_not_wait(tmp_path):
    done = subprocess.run(
        [str(MESHCORE), "demo", "--step", "policy"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},  # noqa: TID251 - handed on
        text=True,
        timeout=WHOLE_WITHIN_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert "1 of 1 steps showed what they should" in " ".join(done.stdout.split())
    assert "\x1b" not in done.stdout


def test_on_a_terminal_enter_goes_on_and_q_ends():
    terminal, end = pty.openpty()
    command = [str(MESHCORE), "demo", "--step", "graph", "--step", "policy"]
    shown = ""

    def comes(text: str) -> bool:
        nonlocal shown
        if select.select([terminal], [], [], 0.1)[0]:
            shown += os.read(terminal, 65536).decode(errors="replace")
        return text in shown

    with subprocess.Popen(command, stdin=end, stdout=end, stderr=end) as running:
        try:
            eventually(lambda: comes("Enter: next"), WHOLE_WITHIN_SECONDS)
            os.write(terminal, b"\n")
            eventually(lambda: comes("1/2"))
            shown = ""
            eventually(lambda: comes("Enter: next"))
            os.write(terminal, b"q\n")
            eventually(lambda: comes("1 of 1 steps showed what they should"))
            assert running.wait(20) == 0
        finally:
            running.kill()
            os.close(terminal)
            os.close(end)
    assert "2/2" not in shown


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--step", "shfit"), 2, "'shfit' is none of graph, shift"),
        (("--port", "0"), 2, "--port"),
    ],
)
def test_wrong_options_are_said(arguments, status, said):
    done = subprocess.run(
        [str(MESHCORE), "demo", *arguments], capture_output=True, check=False, text=True
    )
    assert done.returncode == status
    assert said in done.stderr
