"""Plugins that misbehave: each gives its declared answer in time, and others do not notice."""

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.unit.native.conftest import Client, metric, node

SERVE = Path(__file__).with_name("serve.py")
# Far more than any hook's limit here, and far less than what a stuck worker would take.
SOON_SECONDS = 1.0
HEAD = """
import asyncio, os, sys, threading, time
from meshcore.plugin import *
LIMITED = dict(timeout="30ms", match={"paths": ["/bad"]})
@authorize(timeout="2s", match={"paths": ["/good"]})
def good(request):
    return allow(set_headers={"x-good": "1"})
"""

BAD = {
    "raises": "def bad(request): raise ValueError('no')",
    "raises what cannot be shown": """
class Odd(Exception):
    def __str__(self): raise RuntimeError
def bad(request): raise Odd
""",
    "returns nothing": "def bad(request): pass",
    "returns junk": "def bad(request): return 'allow'",
    "returns a truth": "def bad(request): return True",
    "returns another stage's decision": "def bad(request): return RouteTo(host='x')",
    "returns what cannot be shown": """
class Odd:
    def __repr__(self): raise RuntimeError
def bad(request): return Odd()
""",
    "returns a coroutine": """
async def later(): return allow()
def bad(request): return later()
""",
    "allows with a header of two lines": """
def bad(request): return allow(set_headers={'x': 'a\\r\\nb: c'})
""",
    "forks": "def bad(request): os.fork(); return allow()",
    "sleeps": "def bad(request): time.sleep(0.5); return allow()",
    "sleeps for long": "def bad(request): time.sleep(3600); return allow()",
    "loops": "def bad(request):\n    while True: pass",
    "loops and catches": """
def bad(request):
    while True:
        try:
            while True: pass
        except Exception: pass
""",
    "loops once it is trusted": """
calls = 0
def bad(request):
    global calls
    calls += 1
    while calls > 20: pass
    raise ValueError
""",
    "holds the interpreter": "def bad(request): sum(range(20_000_000)); return allow()",
    "leaves": "def bad(request): sys.exit(3)",
    "interrupts": "def bad(request): raise KeyboardInterrupt",
    "reads what it did not declare": """
@authorize(reads=[], **LIMITED)
def bad(request): return allow() if request.path else deny()
""",
    "keeps its request": """
kept = []
def bad(request):
    if kept: kept[0].path
    kept.append(request)
    raise ValueError
""",
    "hands its request to a thread": """
def bad(request):
    found = []
    def look():
        try: found.append(request.path)
        except RequestGone: pass
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    raise ValueError(found)
""",
    "recurses": "def bad(request): return bad(request)",
    "never completes": "async def bad(request): await asyncio.Event().wait()",
    "never completes and will not be cancelled": """
async def bad(request):
    while True:
        try: await asyncio.sleep(3600)
        except BaseException: pass
""",
    "blocks its loop": "async def bad(request): time.sleep(0.3); return allow()",
    "loops in a coroutine": "async def bad(request):\n    while True: pass",
    "raises in a coroutine": "async def bad(request): raise ValueError",
    "leaves in a coroutine": "async def bad(request): sys.exit(3)",
    "stops its loop": "async def bad(request): asyncio.get_running_loop().stop()",
}


@dataclass
class Served:
    """A data plane in a process of its own."""

    process: subprocess.Popen[str]
    addresses: dict[str, str]
    clients: list[Client] = field(default_factory=list)

    def client(self) -> Client:
        self.clients.append(Client(self.addresses["inbound"]))
        return self.clients[-1]


@pytest.fixture
def serve(application, tmp_path):
    served = []

    def start(source: str) -> Served:
        if "@authorize" not in source:
            source = source.replace("def bad", "@authorize(**LIMITED)\ndef bad").replace(
                "async @authorize(**LIMITED)\ndef", "@authorize(**LIMITED)\nasync def"
            )
        path = tmp_path / "policy.py"
        path.write_text(HEAD + source)
        command = [sys.executable, str(SERVE), str(path), node(application).decode()]
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        served.append(Served(process, json.loads(process.stdout.readline())))
        return served[-1]

    yield start
    for one in served:
        for client in one.clients:
            client.close()
        one.process.kill()
        one.process.communicate()


@pytest.mark.parametrize("name", BAD)
def test_a_bad_plugin_gives_its_declared_answer_in_time_and_nobody_else_notices(
    serve, name, tmp_path
):
    served = serve(BAD[name])
    plain, others = served.client(), []
    stop = threading.Event()

    def ask_others():
        while not stop.is_set():
            others.append(plain.get("/plain"))
            time.sleep(0.002)

    asking = threading.Thread(target=ask_others)
    asking.start()
    try:
        bad = served.client()
        answers = [bad.get("/bad") for _ in range(40)]
    finally:
        stop.set()
        asking.join()
    assert {answer.status for answer in answers} == {503}
    assert max(answer.seconds for answer in answers) < SOON_SECONDS
    assert {answer.status for answer in others} == {200}
    assert max(answer.seconds for answer in others) < SOON_SECONDS
    # The other hook of the plugin answers again, however the bad one ended.
    good = served.client()
    deadline = time.monotonic() + 20
    while good.get("/good").status != 200:
        assert time.monotonic() < deadline, (tmp_path / "log").read_text()
    output, _ = served.process.communicate("", timeout=20)
    assert output == "stopped\n"
    assert "policy.bad" in (tmp_path / "log").read_text()


def test_a_sleeping_hook_does_not_delay_another_one(serve):
    served = serve(BAD["sleeps for long"])
    slow, good = served.client(), served.client()
    slow.get("/bad")
    slow.get("/bad")
    answers = [good.get("/good") for _ in range(50)]
    assert {answer.status for answer in answers} == {200}
    assert max(answer.seconds for answer in answers) < SOON_SECONDS


def test_a_hook_that_fails_is_not_called_for_a_while_and_then_tried(serve):
    served = serve("""
calls = 0
def bad(request):
    global calls
    calls += 1
    if calls <= 20: raise ValueError
    return allow()
""")
    client = served.client()
    statuses = [client.get("/bad").status for _ in range(25)]
    assert statuses == [503] * 25
    metrics = served.addresses["metrics"]
    assert metric(metrics, "meshcore_hook_breaks_total", "policy.bad") == 1
    assert metric(metrics, "meshcore_hook_broken_total", "policy.bad") == 5
    time.sleep(0.6)
    assert [client.get("/bad").status for _ in range(5)] == [200] * 5


def test_a_hook_that_hangs_is_not_called_for_a_while_either(serve):
    served = serve(BAD["sleeps for long"])
    client = served.client()
    assert {client.get("/bad").status for _ in range(60)} == {503}
    metrics = served.addresses["metrics"]
    assert metric(metrics, "meshcore_hook_breaks_total", "policy.bad") == 1
    assert metric(metrics, "meshcore_hook_broken_total", "policy.bad") > 0


def test_a_slow_hook_is_taken_off_the_worker(serve, tmp_path):
    served = serve("""
calls = 0
@authorize(timeout="200ms", match={"paths": ["/bad"]})
def bad(request):
    global calls
    calls += 1
    if calls > 30: time.sleep(0.003)
    return allow()
""")
    client = served.client()
    assert {client.get("/bad").status for _ in range(60)} == {200}
    metrics = served.addresses["metrics"]
    assert metric(metrics, "meshcore_hook_demoted", "policy.bad") == 1
    assert metric(metrics, "meshcore_hook_inline_calls_total", "policy.bad") < 30
    deadline = time.monotonic() + 5
    while "blocking=True" not in (tmp_path / "log").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
