"""Plugins in processes of their own: the same as in process, and survived when they do not."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.unit.native.conftest import Client, Running, mesh, node

from meshcore import native
from meshcore.control import isolated
from meshcore.errors import PluginRejected

SOON_SECONDS = 15.0
MODULE = b"meshcore.control.plugin_process"
HEAD = "import asyncio, ctypes, os, signal, sys, threading, time\nfrom meshcore.plugin import *\n"


def processes(path: str) -> list[int]:
    """Processes that run the plugin of this file."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:  # no process, or one that ended meanwhile
            continue
        if MODULE in command and path.encode() in command:
            found.append(int(entry.name))
    return found


def eventually(look, within=SOON_SECONDS):
    deadline = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < deadline, f"{look} stayed {found!r}"
        time.sleep(0.01)
    return found


@pytest.fixture
def write(tmp_path):
    def write_one(source: str, name: str = "policy") -> str:
        path = tmp_path / f"{name}.py"
        path.write_text(HEAD + source)
        return str(path)

    return write_one


@pytest.fixture
def start(application, write):
    """Starts a data plane with a plugin of this source in a process of its own."""
    running = []

    def start_one(source: str) -> Running:
        path = write(source)
        hooks = isolated.load(path, Path(path).read_bytes()).hooks
        proxy = native.Proxy(mesh(), node(application), native.Options(), hooks)
        running.append(Running(proxy, Client(proxy.addresses()["inbound"])))
        return running[-1]

    yield start_one
    for one in running:
        one.client.close()
        one.proxy.stop()


def process(one: Running, name: str) -> float:
    """Returns what is counted of the process of the plugin."""
    return one.metric(f'meshcore_plugin_process_{name}{{plugin="policy"}}')


def test_a_request_is_seen_and_decided_as_in_process(start):
    one = start("""
@authorize(timeout="5s", match={"paths": ["/see"]})
def see(request):
    assert isinstance(request, Request) and isinstance(request.headers, Headers)
    fields = (request.method, request.path, request.query, request.host, request.scheme,
              request.protocol, request.principal, request.namespace, request.ip,
              request.mtls, request.headers["x-one"], request.headers.get("x-none"),
              "x-one" in request.headers, sorted(request.headers), type(request.port).__name__)
    return allow(set_headers={"x-seen": repr(fields)}, remove_headers=["x-one"])
@authorize(timeout="5s", match={"paths": ["/no"]})
def no(request): return deny(451, "not here", "P1")
@on_request(timeout="5s", match={"paths": ["/edit"]})
def edit(request): return Modify(set_headers={"x-edit": "1"}, path="/edited?a=b")
@on_response(timeout="5s", match={"paths": ["/answer"]})
def answer(request, response):
    return Modify(status=299, body=b"new", set_headers={"x-was": str(response.status)})
""")
    answer = one.get("/see?q=1", x_one="a")
    seen = (
        "('GET', '/see', 'q=1', 'reviews:9080', 'http', 'HTTP/1.1', None, None, '127.0.0.1',"
        " False, 'a', None, True, ['accept-encoding', 'x-one'], 'int')"
    )
    assert answer.seen["x-seen"] == seen
    assert "x-one" not in answer.seen
    denied = one.get("/no")
    assert (denied.status, denied.body) == (451, b"not here")
    assert denied.headers["x-meshcore-code"] == "P1"
    assert one.get("/edit").seen["x-edit"] == "1"
    assert json.loads(one.get("/edit").body)["path"] == "/edited?a=b"
    answered = one.get("/answer")
    assert (answered.status, answered.body, answered.headers["x-was"]) == (299, b"new", "200")
    assert one.metric("meshcore_hook_outside_calls_total", "policy.see") == 1
    assert one.metric("meshcore_hook_inline_calls_total", "policy.see") == 0


def test_undeclared_reads_raise_and_bytes_outside_of_utf_8_stay(start):
    one = start(r"""
@authorize(timeout="5s", reads=["request.headers[x-raw]"], match={"paths": ["/raw"]})
def raw(request):
    assert request.headers["x-raw"] == "caf\udce9"
    return allow(set_headers={"x-back": request.headers["x-raw"]})
@authorize(timeout="5s", reads=["request.method"], match={"paths": ["/undeclared"]})
def undeclared(request):
    try: request.path
    except UndeclaredAttribute as error: return deny(403, str(error))
""")
    assert one.get("/raw", x_raw=b"caf\xe9").seen["x-back"].encode("latin-1") == b"caf\xe9"
    assert b'write reads=["request.method", "request.path"]' in one.get("/undeclared").body


def test_a_decision_is_remembered_as_in_process(start):
    one = start("""
calls = 0
@authorize(timeout="5s", reads=["request.path"], cache="1m")
def count(request):
    global calls
    calls += 1
    return allow(set_headers={"x-calls": str(calls), "x-process": str(os.getpid())})
""")
    answers = [one.get("/a") for _ in range(20)]
    assert {answer.seen["x-calls"] for answer in answers} == {"1"}
    assert one.get("/b").seen["x-calls"] == "2"
    assert int(answers[0].seen["x-process"]) != os.getpid()


def test_coroutines_and_finished_requests_arrive_there(start):
    one = start("""
seen = []
@authorize(timeout="5s", match={"paths": ["/wait"]})
async def wait(request):
    await asyncio.sleep(0.01)
    return allow(set_headers={"x-waited": "1"})
@telemetry(reads=["request.headers[x-one]"])
def spend(records):
    seen.extend((r.method, r.path, r.status, r.direction, r.attribute("request.headers[x-one]"))
                for r in records)
@authorize(timeout="5s", match={"paths": ["/seen"]})
def tell(request): return deny(403, repr(seen))
""")
    assert one.get("/wait", x_one="a").seen["x-waited"] == "1"
    expected = b"[('GET', '/wait', 200, 'inbound', 'a')"
    eventually(lambda: one.get("/seen").body.startswith(expected))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("os._exit(3)", "ended with exit status 3"),
        ("ctypes.string_at(0)", "was ended by signal 11"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "was ended by signal 9"),
        ("os.kill(os.getpid(), signal.SIGSTOP)", "did not end within 1000 ms"),
        ("ctypes.PyDLL(None).usleep(60_000_000)", "did not end within 1000 ms"),
        (
            "os.setpgid(0, os.getpgid(os.getppid())); os.kill(os.getpid(), signal.SIGSTOP)",
            "did not end within 1000 ms",
        ),
        ("os.closerange(0, 64)", "its process was ended by signal"),
    ],
)
def test_a_process_that_ends_or_hangs_is_started_again(start, how, said, caplog, tmp_path):
    one = start(f"""
@authorize(timeout="50ms", match={{"paths": ["/bad"]}})
def bad(request):
    {how}
    return allow()
@authorize(timeout="10s", match={{"paths": ["/good"]}})
def good(request): return allow()
""")
    assert one.get("/good").status == 200
    before = processes(str(tmp_path / "policy.py"))
    answer = one.get("/bad")
    assert answer.status == 503
    assert answer.seconds < SOON_SECONDS
    assert one.get("/plain").status == 200
    eventually(lambda: process(one, "restarts_total") == 1)
    eventually(lambda: one.get("/good").status == 200)
    eventually(lambda: said in caplog.text)
    assert "policy" in caplog.text
    (pid,) = processes(str(tmp_path / "policy.py"))
    assert [pid] != before


def test_a_process_that_grows_without_end_is_started_again(start, caplog):
    one = start("""
@authorize(timeout="50s")
def bad(request):
    kept = b"x" * (600 << 20)
    time.sleep(3600)
""")
    assert one.get("/").status == 503
    eventually(lambda: "was ended: it has grown by" in caplog.text)
    eventually(lambda: process(one, "up") == 1)
    eventually(lambda: 0 < process(one, "resident_bytes") < 512 << 20)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ("b'\\xff\\xff\\xff\\xff'", "a frame is too long"),
        ("b'\\x09\\0\\0\\0' + b'\\xff' * 8 + b'\\0'", "a call that it does not have"),
        ("b'\\x0a\\0\\0\\0' + b'j' * 10", "what is no answer"),
        ("b'\\x01\\0\\0\\0j'", "a frame is cut off"),
    ],
)
def test_a_process_that_answers_nonsense_is_ended(start, frame, said, caplog):
    one = start(f"""
import socket, stat
@authorize(timeout="500ms", match={{"paths": ["/bad"]}})
def bad(request):
    for number in range(3, 64):
        try: is_socket = stat.S_ISSOCK(os.fstat(number).st_mode)
        except OSError: continue
        # asyncio is not running, so that the only sockets are the connection to the sidecar
        if is_socket: os.write(number, {frame})
    time.sleep(0.2)
    return allow()
@authorize(timeout="10s", match={{"paths": ["/good"]}})
def good(request): return allow()
""")
    assert one.get("/bad").status == 503
    eventually(lambda: said in caplog.text)
    eventually(lambda: one.get("/good").status == 200)


def test_a_loop_in_python_is_interrupted_and_the_process_stays(start):
    one = start("""
@authorize(timeout="20ms", match={"paths": ["/bad"]})
def bad(request):
    while True: pass
@authorize(timeout="10s", match={"paths": ["/good"]})
def good(request): return allow()
""")
    assert {one.get("/bad").status for _ in range(3)} == {503}
    assert one.get("/good").status == 200
    assert process(one, "restarts_total") == 0


def test_sigterm_ends_what_the_plugin_starts_and_not_its_process(start):
    one = start("""
import subprocess
@authorize(timeout="10s")
def told(request):
    os.kill(os.getpid(), signal.SIGTERM)
    sleep = subprocess.Popen(["sleep", "60"])
    sleep.terminate()
    return deny(403, str(sleep.wait()))
""")
    assert [one.get("/").body for _ in range(2)] == [b"-15", b"-15"]
    assert process(one, "restarts_total") == 0


def test_a_plugin_that_cannot_start_again_gives_its_declared_answer(start, caplog):
    one = start("""
import pathlib
mark = pathlib.Path(__file__).with_suffix(".mark")
if mark.exists(): os._exit(4)
mark.touch()
@authorize(timeout="50ms", match={"paths": ["/bad"]})
def bad(request): os._exit(3)
@on_request(timeout="50ms", on_error="skip", match={"paths": ["/skipped"]})
def skipped(request): return deny()
""")
    assert one.get("/bad").status == 503
    eventually(lambda: "exit status 4" in caplog.text)
    assert one.get("/bad").status == 503
    assert one.get("/skipped").status == 200
    assert process(one, "up") == 0


def test_the_process_gets_no_secrets(start, monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")
    monkeypatch.setenv("PLUGIN_DIRECTORY", "http://directory")
    with (tmp_path / "open").open("w") as inherited:
        os.set_inheritable(inherited.fileno(), True)  # noqa: FBT003 - it takes no name
        one = start("""
@authorize(timeout="5s")
def tell(request):
    links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    files = [os.readlink(link) for link in links if os.path.exists(link)]
    open_files = [name for name in files if name.endswith("/open")]
    return deny(403, repr((sorted(os.environ), open_files, os.read(0, 1))))
""")
        told = one.get("/").body.decode()
    assert "DATABASE_PASSWORD" not in told
    assert "PLUGIN_DIRECTORY" in told
    assert told.endswith("[], b'')")


def test_the_process_leaves_the_processors_to_the_data_plane(start):
    one = start("""
@authorize(timeout="5s")
def tell(request): return deny(403, str(os.nice(0)))
""")
    assert int(one.get("/").body) == min(os.nice(0) + 5, 19)


def test_what_it_prints_is_in_the_log(start, caplog):
    one = start("""
print("loaded", os.getpid() > 0)
@authorize(timeout="5s", match={"paths": ["/say"]})
def say(request):
    print("said \\x1b[2J", file=sys.stderr)
    raise ValueError("no")
""")
    assert one.get("/say").status == 503
    eventually(
        lambda: "plugin policy: ERROR hook policy.say raised ValueError: no at" in caplog.text
    )
    assert "plugin policy: plugin" not in caplog.text
    assert "plugin policy: said \ufffd[2J" in caplog.text
    eventually(lambda: "plugin policy: loaded True" in caplog.text)


def test_it_ends_with_the_last_reference(write):
    path = write("@authorize\ndef one(request): return allow()\n")
    plugin = isolated.load(path, Path(path).read_bytes())
    (pid,) = processes(path)
    del plugin
    eventually(lambda: not Path(f"/proc/{pid}").exists())


def test_it_ends_with_its_sidecar_although_a_thread_holds_its_interpreter(write, tmp_path):
    path = write("""
threading.Timer(0.2, ctypes.PyDLL(None).usleep, [60_000_000]).start()
@authorize
def one(request): return allow()
""")
    script = tmp_path / "sidecar.py"
    script.write_text(
        "import os, sys, time\nfrom pathlib import Path\nfrom meshcore.control import isolated\n"
        "plugin = isolated.load(sys.argv[1], Path(sys.argv[1]).read_bytes())\n"
        "print('ready', flush=True)\ntime.sleep(1)\nos._exit(0)\n"
    )
    done = subprocess.run([sys.executable, str(script), path], capture_output=True, check=True)
    assert done.stdout == b"ready\n"
    eventually(lambda: not processes(path))


@pytest.mark.parametrize("first", ["pass", "os.setpgid(0, os.getpgid(os.getppid()))"])
def test_it_ends_with_its_sidecar_while_it_is_loaded(write, tmp_path, first):
    path = write(f"""
import pathlib
{first}
pathlib.Path(__file__).with_suffix(".mark").touch()
ctypes.PyDLL(None).usleep(60_000_000)
""")
    script = tmp_path / "sidecar.py"
    script.write_text(
        "import os, sys, threading, time\nfrom pathlib import Path\n"
        "from meshcore.control import isolated\n"
        "path = Path(sys.argv[1])\n"
        "load = (str(path), path.read_bytes())\n"
        "threading.Thread(target=isolated.load, args=load, daemon=True).start()\n"
        "while not path.with_suffix('.mark').exists(): time.sleep(0.01)\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, str(script), path], check=True, timeout=SOON_SECONDS)
    eventually(lambda: not processes(path))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("os._exit(3)", "its process ended with exit status 3 while it was loaded"),
        ("ctypes.string_at(0)", "its process was ended by signal 11 while it was loaded"),
        ("sys.exit(4)", ":3: SystemExit: 4"),
        ("x = nothing", ":3: NameError: name 'nothing' is not defined"),
        ("os.fork()", ":3: a plugin cannot fork"),
        ("time.sleep(3600)", "it was not loaded within 1"),
        ("x = 1", "no hook found"),
        ("#" * (1 << 20), "it cannot be started: file too large"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_refused_in_words(write, monkeypatch, source, said):
    if "sleep" in source:
        monkeypatch.setattr(isolated, "LOAD_SECONDS", 1.0)
    path = write(source)
    with pytest.raises(PluginRejected, match=r"policy\.py") as refused:
        isolated.load(path, Path(path).read_bytes())
    assert said in str(refused.value)
    eventually(lambda: not processes(path))
