"""A sidecar whose parts are not real."""

import os
from unittest.mock import Mock

import pytest

from meshcore.control.settings import Settings, Wanted

serve = pytest.importorskip("meshcore.cli.serve")


@pytest.fixture
def sidecar(tmp_path):
    """Makes a sidecar whose data plane runs without end."""

    def _sidecar(**more):
        settings = Settings(Wanted("web", "default"), "mesh", "0", str(tmp_path), **more)
        one = serve.Sidecar(settings, *(Mock() for _ in range(7)))
        one.proxy.wait.return_value = False
        one.proxy.take_notices.return_value = []
        one.proxy.addresses.return_value = {"outbound": "127.0.0.1:1"}
        one.renewal.materials.identity = "spiffe://td/ns/default/sa/web"
        one.watch.is_closed = True
        one.succession.is_second = False
        one.succession.turn.return_value = None
        one.succession.is_orphaned.return_value = False
        one.report.revision = 1
        return one

    return _sidecar


def test_a_fault_does_not_leave_the_application_behind(sidecar):
    one = sidecar(command=("sleep", "60"))
    one.renewal.turn.side_effect = RuntimeError("fault")
    with pytest.raises(RuntimeError, match="fault"):
        one.run()
    assert one.application.status() == 143
    with pytest.raises(ProcessLookupError):
        os.killpg(one.application._process.pid, 0)
    one.proxy.stop.assert_called()


def test_what_the_data_plane_tells_is_logged(sidecar, caplog):
    one = sidecar()
    one.proxy.wait.side_effect = [False, False, True]
    one.proxy.take_notices.side_effect = [["memory is short"], []]
    assert one.run() == 0
    assert [record.message for record in caplog.records] == ["memory is short"]


def test_one_that_is_told_to_end_before_it_accepts_leaves_the_one_before_alone(sidecar, tmp_path):
    ready = tmp_path / "ready"
    ready.write_text("of the one before")
    one = sidecar(ready_file=str(ready))
    one.succession.is_second = True
    one.proxy.wait.return_value = True
    one.stops = 1
    assert one.run() == 0
    one.succession.accepting.assert_not_called()
    one.succession.close.assert_called()
    assert ready.read_text() == "of the one before"
