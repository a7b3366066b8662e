"""A new process takes over from the running sidecar: everything follows it, or nothing changes."""

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace

import pytest
from tests.integration.harness import children, curl, eventually

from meshcore.control import passing
from meshcore.control.takeover import PROTOCOL, Workload

MESH = """
services:
  web:
    port: 8080
    endpoints: ["@21:8080"]
  api:
    port: 9080
    endpoints: ["@11:9080"]
"""
FAILED, NOT_FOUND = 1, 4


@pytest.fixture
def mesh(alone):
    alone.write(MESH)
    return alone


@pytest.fixture(scope="module")
def first(shared):
    """A sidecar that goes on as it was, whoever asks for its sockets."""
    shared.write(MESH)
    return shared.sidecar("web")


def asks(mesh, **fields):
    """Returns a connection to the running sidecar of web, which has said who it is."""
    (path,) = (mesh.documents / ".meshcore/takeover").glob("web-*.sock")
    channel = socket.socket(socket.AF_UNIX)
    channel.settimeout(20)
    here = os.open(path.parent, os.O_PATH)
    channel.connect(f"/proc/self/fd/{here}/{path.name}")
    os.close(here)
    workload = Workload(str(mesh.documents), "default", "web", mesh.address(21))
    hello = {"protocol": PROTOCOL, "workload": workload, "application": False} | fields
    known = hello["workload"]
    hello["workload"] = {name: getattr(known, name) for name in known.__slots__}
    passing.send(channel, hello)
    return channel


def refused(mesh, *options):
    """Starts a sidecar that is not to start; returns its exit status and what it said."""
    ended = mesh.meshcore("run", "--mesh", mesh.documents, "--takeover", "--service", *options)
    return ended.returncode, ended.stderr


def answers(sidecar):
    return curl(f"http://{sidecar.addresses['health']}/healthz/ready").code == 200


def test_everything_follows_the_new_process(mesh):
    first = mesh.sidecar("web")
    second = mesh.sidecar("web", "--takeover")
    assert first.wait() == 0
    assert second.addresses == first.addresses
    assert not first.ready_file.exists(), "the new one has another"
    assert json.loads(second.ready_file.read_text())["pid"] == second.pid
    assert answers(second)
    assert "meshcore_draining 0" in second.scrape()
    running = list((mesh.documents / ".meshcore/running").iterdir())
    assert [path.name for path in running] == [f"{second.pid}.json"]
    shown = mesh.meshcore("status", "--mesh", mesh.documents, "-o", "json")
    assert [(one["name"], one["state"]) for one in json.loads(shown.stdout)] == [("web", "ready")]
    mesh.write(MESH.replace("9080", "9090"))
    second.revision_after(1)


def test_fewer_and_more_workers(mesh):
    before = mesh.sidecar("web", "--concurrency", "3")
    for workers in ("1", "4"):
        after = mesh.sidecar("web", "--concurrency", workers, "--takeover")
        assert before.wait() == 0
        assert answers(after)
        before = after


def test_nobody_to_take_over_from(mesh):
    status, said = refused(mesh, "web")
    assert status == NOT_FOUND
    assert "no sidecar of web.default" in said
    assert "start it without --takeover" in said


def test_what_does_not_start_leaves_the_running_one_alone(mesh):
    first = mesh.sidecar("web")
    status, said = refused(mesh, "web", "--outbound-port", "15999")
    assert status == FAILED
    assert "outbound listener" in said
    status, said = refused(mesh, "web", "--no-inbound")
    assert status == FAILED
    assert "inbound listener" in said
    status, said = refused(mesh, "web", "--", "/no/such/program")
    assert status == FAILED
    assert "/no/such/program" in said
    eventually(lambda: first.said().count("ended before it served: this one goes on") == 3)
    assert answers(first)
    second = mesh.sidecar("web", "--takeover")
    assert first.wait() == 0
    assert answers(second)


def test_the_new_one_dies_in_the_middle(shared, first):
    channel = asks(shared)
    answer, listeners = passing.receive(channel)
    assert answer["pid"] == first.pid
    assert {"outbound", "inbound", "HBONE", "admin", "health", "metrics", "takeover"} == {
        purpose for purpose, _ in listeners
    }
    passing.close(listeners)
    channel.close()
    eventually(lambda: "this one goes on" in first.said())
    assert answers(first)


def test_the_old_one_dies_in_the_middle(mesh):
    """It has given its sockets away, and dies before the new one accepts."""
    first = mesh.sidecar("web")
    channel = asks(mesh)
    _, listeners = passing.receive(channel)
    first.signal(signal.SIGKILL)
    first.wait()
    waiting = socket.create_connection(first.host_port("health"), timeout=20)
    passing.close(listeners)
    waiting.close()
    channel.close()
    second = mesh.sidecar("web")
    assert answers(second)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"protocol": PROTOCOL + 1}, "version 1 of the handover and you 2"),
        ({"name": "api"}, "it is the sidecar of web.default at"),
    ],
)
def test_who_does_not_fit_is_told_why(shared, first, fields, why):
    workload = Workload(str(shared.documents), "default", "web", shared.address(21))
    if "protocol" not in fields:
        fields = {"workload": replace(workload, **fields)}
    channel = asks(shared, **fields)
    answer, listeners = passing.receive(channel)
    assert why in answer["refused"]
    assert listeners == []
    channel.close()
    assert answers(first)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_gets_nothing(shared, first):
    (path,) = (shared.documents / ".meshcore/takeover").glob("web-*.sock")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    # Even one who is let in by the file system.
    path.parent.chmod(0o711)
    path.chmod(0o666)
    ask = (
        "import os, socket, sys\n"
        "os.chdir(os.path.dirname(sys.argv[1]))\n"
        "os.setuid(65534)\n"
        "with socket.socket(socket.AF_UNIX) as s:\n"
        "    s.connect(os.path.basename(sys.argv[1]))\n"
        "    print(s.recv(1000))\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", ask, str(path)], capture_output=True, text=True, check=False
    )
    assert "belongs to another user" in said.stdout, said.stderr
    assert answers(first)


def test_an_application_stays_with_who_started_it(mesh):
    """Its exit status, too, although another process carries its requests."""
    program = [sys.executable, "-c", "import time\nwhile True: time.sleep(1)"]
    first = mesh.sidecar("web", "--", *program)
    status, said = refused(mesh, "web", "--", *program)
    assert status == FAILED
    assert "its application stays with it" in said
    second = mesh.sidecar("web", "--takeover")
    eventually(lambda: "draining" in first.said())
    status, said = refused(mesh, "web", "--", "true")
    assert "its application stays with it" in said, "also with the second one"
    child = eventually(lambda: children(first.pid, "time.sleep"))
    assert answers(second)
    assert first.process.poll() is None
    os.kill(child[0], signal.SIGKILL)
    assert first.wait() == 128 + signal.SIGKILL
    assert answers(second)
