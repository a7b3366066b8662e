"""The directory of a demo, and what is in it."""

import os
import tempfile
from pathlib import Path

import pytest

from meshcore.config import compile_mesh
from meshcore.demo.addresses import WORKLOADS, Taken
from meshcore.demo.directory import directory
from meshcore.errors import StartFailed
from meshcore.plugin.registry import Registry
from meshcore.sources.file import read

TAKEN = Taken("127.87.9.", 8080)


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_its_documents_compile_without_a_finding():
    with directory(TAKEN) as made:
        result = compile_mesh(read([made / "mesh"]), 1)
    assert list(result.diagnostics) == []
    mesh = result.required()
    addresses = {workload["address"] for workload in mesh["workloads"]}
    assert addresses == {TAKEN.address(workload) for workload in WORKLOADS}


def test_its_policy_loads():
    with directory(TAKEN) as made:
        registry = Registry()
        registry.load(str(made / "policy.py"))
    assert [hook.spec.name for hook in registry.hooks()] == ["for_sale"]


def test_it_is_gone_at_the_end(scratch):
    with directory(TAKEN) as made:
        assert list(scratch.iterdir()) == [made]
    assert list(scratch.iterdir()) == []


def test_that_of_a_demo_that_was_killed_is_removed(scratch):
    left = scratch / "meshcore-demo-left"
    left.mkdir()
    (left / ".lock").touch()
    with directory(TAKEN):
        assert not left.exists()


def test_that_of_a_demo_that_runs_stays(scratch):
    with directory(TAKEN) as one, directory(TAKEN):
        assert one.exists()
        assert len(list(scratch.iterdir())) == 2


def test_what_is_not_a_demos_stays(scratch):
    other = scratch / "meshcore-demo-notes"
    other.mkdir()
    (other / "kept").touch()
    link = scratch / "meshcore-demo-link"
    link.mkdir()
    (link / ".lock").symlink_to(other / "kept")
    with directory(TAKEN):
        assert (other / "kept").exists()
        assert link.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_that_cannot_be_written_is_an_error(scratch, monkeypatch):
    closed = scratch / "closed"
    closed.mkdir(0o500)
    monkeypatch.setattr(tempfile, "tempdir", str(closed))
    with pytest.raises(StartFailed, match="TMPDIR"), directory(TAKEN):
        pass


def test_a_place_that_is_not_there_is_an_error(scratch, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(Path(scratch, "nowhere")))
    with pytest.raises(StartFailed, match=r"nowhere.*: no such file.*TMPDIR"), directory(TAKEN):
        pass
