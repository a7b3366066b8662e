import json
import signal
import threading

import pytest
from tests.unit.control.recording import Recording

from meshcore.control.plane import Plane
from meshcore.control.plane_settings import PlanePorts, PlaneSettings
from meshcore.control.running import CONTROL_PLANE, running
from meshcore.errors import ConfigError, StartFailed

MESH = "services: {{web: {{port: {0}, endpoints: ['127.0.0.2:80']}}}}\n"
PORTS = PlanePorts(0, 0, 0)


@pytest.fixture
def settings(tmp_path):
    mesh = tmp_path / "mesh"
    mesh.mkdir()
    (mesh / "mesh.yaml").write_text(MESH.format(80))
    return PlaneSettings(
        mesh, tmp_path / "state", "1.2.3", "127.0.0.1", PORTS, ready_file=tmp_path / "ready"
    )


@pytest.fixture
def start(settings):
    started = []

    def _start():
        started.append(Plane.start(settings, Recording))
        return started[-1]

    yield _start
    for plane in started:
        if not plane.native.is_stopped:
            plane.close()


def in_background(plane, monkeypatch):
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # only the main thread may
    thread = threading.Thread(target=plane.run)
    thread.start()
    return thread


def until(holds):
    for _ in range(200):
        if holds():
            return
        threading.Event().wait(0.05)
    pytest.fail("it never came")


def test_it_tells_the_server_what_the_mesh_says(start):
    plane = start()
    options = plane.native.options
    assert options.trust_domain == "cluster.local"
    assert options.plain == "127.0.0.1:0"
    assert options.state == str(plane.settings.state)
    assert plane.native.updates[0][0] == 1


def test_a_change_is_applied_and_it_ends_in_order(start, settings, monkeypatch):
    plane = start()
    thread = in_background(plane, monkeypatch)
    until(settings.ready_file.exists)
    ready = json.loads(settings.ready_file.read_text())
    assert ready["revision"] == 1
    assert ready["addresses"]["monitoring"] == plane.pages.address
    (one,) = running(str(settings.state), str(settings.mesh))
    assert (one.name, one.addresses["monitoring"]) == (CONTROL_PLANE, plane.pages.address)
    (settings.mesh / "mesh.yaml").write_text(MESH.format(81))
    until(lambda: len(plane.native.updates) == 2)
    assert plane.native.updates[1][1] == [
        "service/default/web.default.svc.cluster.local/web",
        "workload/default/web",
    ]
    plane._stop(signal.SIGTERM, None)
    thread.join(5)
    assert plane.native.is_stopped
    assert not settings.ready_file.exists()
    assert not list(running(str(settings.state), str(settings.mesh)))


def test_it_begins_with_what_was_in_force_if_the_documents_are_bad(start, settings, caplog):
    start().close()
    (settings.mesh / "mesh.yaml").write_text("services: [")
    plane = start()
    assert plane.native.updates == [(1, sorted(plane.distribution.in_force.resources), [])]
    plane.distribution.apply(plane.report)
    assert "revision 2 refused" in caplog.text
    assert plane.report.refusal.revision == 2
    (settings.mesh / "mesh.yaml").write_text(MESH.format(82))
    plane.distribution.apply(plane.report)
    assert plane.report.refusal is None


@pytest.mark.parametrize(
    ("text", "why"),
    [("services: [", "mesh.yaml:2"), (None, "no documents here")],
)
def test_the_first_documents_must_be_good(settings, text, why):
    file = settings.mesh / "mesh.yaml"
    file.unlink()
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=why):
        Plane.start(settings, Recording)
    (settings.mesh / "mesh.yaml").write_text(MESH.format(80))
    Plane.start(settings, Recording).close()  # the lock was let go


def test_a_directory_is_for_one(start, settings):
    start()
    with pytest.raises(StartFailed, match=r"another control plane, process \d+, uses"):
        Plane.start(settings, Recording)


def test_a_directory_that_cannot_be_made_is_named(settings, tmp_path):
    (tmp_path / "state").write_text("")
    with pytest.raises(StartFailed, match="give a directory to write as --state"):
        Plane.start(settings, Recording)


def test_other_settings_of_the_server_want_a_restart(start, settings, monkeypatch, caplog):
    plane = start()
    thread = in_background(plane, monkeypatch)
    (settings.mesh / "mesh.yaml").write_text(MESH.format(80) + "mesh: {trustDomain: other}\n")
    until(lambda: "restart the control plane" in caplog.text)
    plane._stop(signal.SIGTERM, None)
    thread.join(5)
