import json
import os
import signal
import socket
import subprocess
from contextlib import contextmanager

import pytest
from tests.unit.cli.harness import MESHCORE, get, meshcore, until

TEXT = """
services:
  web: {{port: 80, endpoints: ["127.0.0.2:{0}"]}}
  api: {{port: 80, endpoints: ["127.0.0.3:80"]}}
"""
FREE = (
    "--address", "127.0.0.1", "--plain-port", "0", "--secure-port", "0", "--monitoring-port", "0",
)  # fmt: skip


@pytest.fixture
def mesh(tmp_path):
    folder = tmp_path / "mesh"
    folder.mkdir()
    (folder / "mesh.yaml").write_text(TEXT.format(80))
    return folder


class Control:
    """A control plane that runs."""

    def __init__(self, process, ready):
        self.process, self.ready = process, ready
        until(lambda: ready.exists() or process.poll() is not None, "ready file")
        assert process.poll() is None, process.stderr.read()
        said = json.loads(ready.read_text())
        self.first, self.addresses = said["revision"], said["addresses"]

    def page(self, path):
        return get(self.addresses["monitoring"], path)

    def sync(self):
        return json.loads(self.page("/debug/syncz")[1])

    def revision(self):
        return self.sync()["revision"]


@contextmanager
def running(mesh, *options):
    ready = mesh.parent / "ready.json"
    ready.unlink(missing_ok=True)
    process = subprocess.Popen(
        [*MESHCORE, "control", "--mesh", mesh, *FREE, "--ready-file", ready, *options],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield Control(process, ready)
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None and not process.stderr.closed:
            process.stderr.close()


def test_it_serves_and_applies_changes_and_ends(mesh):
    with running(mesh) as control:
        assert control.revision() == 1
        host, _, port = control.addresses["plain"].rpartition(":")
        socket.create_connection((host, int(port)), 5).close()
        (mesh / "mesh.yaml").write_text(TEXT.format(81))
        until(lambda: control.revision() == 2, "second revision")
        status, metrics = control.page("/metrics")
        assert status == 200
        assert b'meshcore_control_changes_total{result="applied"} 2.0' in metrics
        assert b"pilot_xds 0" in metrics
        assert json.loads(control.page("/version")[1])["version"]
        registry = json.loads(control.page("/debug/registryz")[1])
        assert [service["host"].partition(".")[0] for service in registry] == ["api", "web"]
        assert [one["address"] for one in registry[1]["workloads"]] == ["127.0.0.2"]
        control.process.send_signal(signal.SIGTERM)
        _, said = control.process.communicate(timeout=20)
        assert control.process.returncode == 0
        assert not control.ready.exists()
    assert "control plane" in said.splitlines()[1] or "control plane" in said
    assert "meshcore run --service api" in said


def test_what_is_refused_is_said_and_survives_a_kill(mesh):
    with running(mesh) as control:
        (mesh / "mesh.yaml").write_text("services: {web: {prot: 80}}\n")
        until(lambda: control.sync()["control_plane"]["refused"], "refusal")
        refused = control.sync()["control_plane"]["refused"]
        assert "mesh.yaml:1:" in refused["why"]
        assert control.revision() == 1
        control.process.kill()
        control.process.wait()
    with running(mesh) as control:
        assert control.first == 1
        until(lambda: control.sync()["control_plane"]["refused"], "refusal")
        (mesh / "mesh.yaml").write_text(TEXT.format(82))
        until(lambda: control.revision() > 1, "next revision")
        assert control.sync()["control_plane"]["refused"] is None


def test_status_finds_it(mesh):
    with running(mesh):
        done = meshcore("status", "--mesh", mesh)
        assert done.returncode == 4
        assert "control plane" in done.stdout
        assert "no sidecar is connected" in done.stderr


def test_a_second_one_is_refused(mesh):
    with running(mesh) as control:
        done = meshcore("control", "--mesh", mesh, *FREE)
        assert done.returncode == 1
        assert f"another control plane, process {control.process.pid}, uses" in done.stderr


@pytest.mark.parametrize("option", ["--plain-port", "--secure-port", "--monitoring-port"])
def test_a_port_that_is_taken_is_told(mesh, option):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = meshcore("control", "--mesh", mesh, *FREE, option, port)
    assert done.returncode == 1
    assert str(port) in done.stderr
    assert "another control plane or program listens there" in done.stderr


@pytest.mark.parametrize(
    ("options", "status", "why"),
    [
        (("--address", "nowhere"), 2, "is not an IP address"),
        (("--plain-port", "70000"), 2, "less than or equal to 65535"),
        (("--log-level", "loud"), 2, "none of debug"),
        (("--mesh", "/nowhere"), 2, "does not exist"),
    ],
)
def test_wrong_options_are_told(mesh, options, status, why):
    done = meshcore("control", "--mesh", mesh, *options)
    assert done.returncode == status
    assert why in done.stderr


def test_documents_must_be_there_and_good(mesh):
    file = mesh / "mesh.yaml"
    file.write_text("services: {web: {prot: 80}}\n")
    done = meshcore("control", "--mesh", mesh, *FREE)
    assert (done.returncode, "mesh.yaml:1:" in done.stderr) == (65, True)
    file.unlink()
    done = meshcore("control", "--mesh", mesh, *FREE)
    assert (done.returncode, "no documents here" in done.stderr) == (65, True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_state_that_cannot_be_written_is_told(mesh):
    mesh.chmod(0o500)
    done = meshcore("control", "--mesh", mesh, *FREE)
    mesh.chmod(0o700)
    assert done.returncode == 1
    assert "as --state" in done.stderr
