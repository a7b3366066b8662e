"""Plugins in processes of their own, beside a real sidecar."""

import json
import signal
from pathlib import Path

import pytest
from tests.integration.harness import curl, eventually

MESH = """
services:
  reviews:
    port: 9080
    endpoints: ["@11:9080"]
"""
DECISION = """
import os
from meshcore.plugin import *

@authorize(isolate="process", timeout="5s")
def decide(request):
    return {decision}
"""
ALLOW = DECISION.format(decision='allow(set_headers={"x-process": str(os.getpid())})')


@pytest.fixture
def plugin(alone):
    path = alone.directory / "policy.py"
    path.write_text(ALLOW)
    return path


@pytest.fixture
def sidecar(alone, plugin):
    alone.write(MESH)
    alone.program("application", 11, 9080, "v1")
    return alone.sidecar("reviews", f"--plugin={plugin}")


def ask(sidecar, path="/"):
    return curl(f"http://{sidecar.addresses['inbound']}{path}", "-H", "Host: reviews:9080")


def process(sidecar) -> int:
    """The process that decides now."""
    return int(ask(sidecar).json()["headers"]["x-process"])


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_it_is_loaded_again_when_it_is_saved_and_a_bad_one_is_refused(sidecar, plugin):
    before = process(sidecar)
    assert before != sidecar.pid
    plugin.write_text(ALLOW + "\n# saved again\n")
    eventually(lambda: process(sidecar) != before)
    good = process(sidecar)
    for bad, said in [
        ("os._exit(3)\n", "exit status 3 while it was loaded"),
        ("import ctypes\nctypes.string_at(0)\n", "signal 11 while it was loaded"),
        ("raise ValueError('not today')\n", "ValueError: not today"),
    ]:
        plugin.write_text(ALLOW + bad)
        eventually(lambda said=said: said in json.dumps(sidecar.status()["refusals"]))
        assert process(sidecar) == good
    plugin.write_text(DECISION.format(decision='deny(451, "changed")'))
    eventually(lambda: ask(sidecar).code == 451)


def test_no_request_is_lost_while_it_is_replaced(alone, sidecar, plugin):
    load = alone.load(sidecar, "reviews:9080", rate=200)
    for number in range(5):
        before = process(sidecar)
        plugin.write_text(f"{ALLOW}\n# {number}\n")
        eventually(lambda before=before: process(sidecar) != before)
    ended = load.end_of_it()
    assert ended["failed"] == {}
    assert ended["requests"] > 0


def test_it_ends_with_its_sidecar_however_that_ends(alone, plugin):
    alone.write(MESH)
    alone.program("application", 11, 9080, "v1")
    for number in (signal.SIGKILL, signal.SIGTERM):
        one = alone.sidecar("reviews", "--isolate-plugins", f"--plugin={plugin}")
        pid = process(one)
        one.signal(number)
        one.wait()
        eventually(lambda pid=pid: not is_there(pid))


def test_one_that_cannot_be_loaded_stops_the_start(alone, plugin):
    alone.write(MESH)
    plugin.write_text(ALLOW + "os.abort()\n")
    done = alone.meshcore(
        "run", "--service=reviews", f"--mesh={alone.documents}", "--plugin=policy.py"
    )
    assert done.returncode == 65
    assert "policy.py: its process was ended by signal 6 while it was loaded" in done.stderr
    assert "Fatal Python error: Aborted" in done.stderr
