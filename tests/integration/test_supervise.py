"""A sidecar that dies is started again, and nobody is turned away meanwhile."""

import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
from tests.integration.harness import children, connects, curl, eventually

MESH = """
services:
  web:
    port: 8080
    endpoints: ["@21:8080"]
"""
INTERRUPTED = 130
SIDECAR = "meshcore.cli.sidecar"
PROGRAM = """
import os, signal, sys, time
def end(*_): sys.exit(7)
signal.signal(signal.SIGTERM, end)
with open(sys.argv[1], "a") as file: file.write(os.environ["MESHCORE_OUTBOUND"] + "\\n")
while True: time.sleep(0.05)
"""
READY = b"GET /healthz/ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


@pytest.fixture
def mesh(alone):
    alone.write(MESH)
    return alone


@pytest.fixture
def program(tmp_path):
    """The command of an application that writes down when it starts, and ends with 7."""
    return [sys.executable, "-c", PROGRAM, str(tmp_path / "starts")]


def sidecar_of(supervisor):
    """Returns the process of the sidecar, once there is one."""
    return eventually(lambda: children(supervisor.pid, SIDECAR))[0]


def serves(sidecar):
    return curl(f"http://{sidecar.addresses['health']}/healthz/ready").code == 200


def test_who_connects_while_the_sidecar_is_dead_waits_and_is_answered(mesh):
    supervisor = mesh.sidecar("web", "--supervise", "--outbound-port", "0")
    first = sidecar_of(supervisor)
    os.kill(first, signal.SIGSEGV)
    eventually(lambda: f"died with status {128 + signal.SIGSEGV}" in supervisor.said())
    with socket.create_connection(supervisor.host_port("health"), timeout=20) as client:
        client.sendall(READY)
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")
    again = sidecar_of(supervisor)
    assert again != first
    eventually(lambda: f'"pid": {again}' in supervisor.ready_file.read_text())
    assert supervisor.addresses["outbound"] in supervisor.ready_file.read_text(), "also port 0"
    supervisor.signal()
    assert supervisor.wait() == 0
    assert not supervisor.ready_file.exists()


def test_documents_that_changed_meanwhile_are_in_force_soon(mesh):
    supervisor = mesh.sidecar("web", "--supervise")
    sidecar = sidecar_of(supervisor)
    os.kill(sidecar, signal.SIGSTOP)  # it does not see the change
    mesh.write(MESH + "  api: {port: 9080, endpoints: ['@11:9080']}\n")
    os.kill(sidecar, signal.SIGKILL)
    eventually(lambda: serves(supervisor) and "api.default" in supervisor.admin("/clusters"))
    assert supervisor.status()["refusals"] == []


def test_the_application_goes_on_and_its_status_is_that_of_the_command(mesh, program):
    supervisor = mesh.sidecar("web", "--supervise", "--", *program)
    (application,) = eventually(lambda: children(supervisor.pid, program[-1]))
    os.kill(sidecar_of(supervisor), signal.SIGKILL)
    eventually(lambda: "died with status" in supervisor.said())
    eventually(lambda: serves(supervisor))
    assert Path(program[-1]).read_text() == supervisor.outbound + "\n", "it was started once"
    supervisor.signal()
    assert supervisor.wait() == 7
    assert not Path(f"/proc/{application}").exists()


def test_the_sidecar_ends_with_its_application(mesh, program):
    supervisor = mesh.sidecar("web", "--supervise", "--", *program)
    (application,) = eventually(lambda: children(supervisor.pid, program[-1]))
    os.kill(application, signal.SIGKILL)
    assert supervisor.wait() == 128 + signal.SIGKILL
    assert not curl(f"http://{supervisor.addresses['health']}/healthz/ready").code


def test_one_that_never_started_is_not_tried_again(mesh):
    mesh.write("services: [")
    ended = mesh.meshcore("run", "--mesh", mesh.documents, "--service", "web", "--supervise")
    assert ended.returncode == 65
    assert "not YAML" in ended.stderr


def test_one_that_dies_again_and_again_is_started_less_often(mesh):
    supervisor = mesh.sidecar("web", "--supervise")
    for _ in range(3):
        dead = sidecar_of(supervisor)
        os.kill(dead, signal.SIGKILL)
        eventually(lambda dead=dead: sidecar_of(supervisor) != dead)
    eventually(lambda: "starting it again in 0.4 s" in supervisor.said())
    eventually(lambda: serves(supervisor))


def test_a_second_signal_ends_at_once(mesh, program):
    supervisor = mesh.sidecar("web", "--supervise", "--drain", "60s", "--", *program)
    (application,) = eventually(lambda: children(supervisor.pid, program[-1]))
    with socket.create_connection(supervisor.host_port("outbound"), timeout=20) as client:
        client.sendall(b"GET / HTTP/1.1\r\n")  # half a request, which keeps the drain waiting
        time.sleep(0.2)
        supervisor.signal()
        eventually(lambda: "draining" in supervisor.said())
        assert supervisor.process.poll() is None
        supervisor.signal()
        assert supervisor.wait() == INTERRUPTED
    assert not Path(f"/proc/{application}").exists()


def test_who_connects_during_a_drain_is_refused(mesh):
    supervisor = mesh.sidecar("web", "--supervise", "--drain", "60s")
    host, port = supervisor.host_port("outbound")
    with socket.create_connection((host, port), timeout=20) as client:
        client.sendall(b"GET / HTTP/1.1\r\n")  # half a request, which keeps the drain waiting
        time.sleep(0.2)
        supervisor.signal()
        eventually(lambda: not connects(host, port))
        assert supervisor.process.poll() is None
        supervisor.signal()
        assert supervisor.wait() == INTERRUPTED


def test_without_its_supervisor_a_sidecar_ends(mesh):
    supervisor = mesh.sidecar("web", "--supervise")
    pid = sidecar_of(supervisor)
    supervisor.signal(signal.SIGKILL)
    supervisor.wait()
    eventually(lambda: not Path("/proc", str(pid)).exists())


def test_a_supervised_sidecar_is_taken_over_from(mesh, program):
    """The supervisor keeps its application, and leaves the sockets and requests to the others."""
    first = mesh.sidecar("web", "--supervise", "--", *program)
    second = mesh.sidecar("web", "--supervise", "--takeover")
    eventually(lambda: "the application stays here" in first.said())
    os.kill(sidecar_of(second), signal.SIGKILL)
    eventually(lambda: f'"pid": {sidecar_of(second)}' in second.ready_file.read_text())
    third = mesh.meshcore(
        "run", "--mesh", mesh.documents, "--takeover", "--service", "web", "--", "true"
    )
    assert "its application stays with it" in third.stderr, "also after a death"
    first.signal()
    assert first.wait() == 7
    assert serves(second)
    second.signal()
    assert second.wait() == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(second.host_port("health"))
