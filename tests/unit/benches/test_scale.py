"""The bench of scale: its documents are good, and what people see of its results."""

import json
import xml.etree.ElementTree as ET
from dataclasses import asdict

import pytest
from benches.scale import documents, report
from benches.scale.run import Measured

from meshcore.config import compile_mesh
from meshcore.control.compilation import Compilation
from meshcore.sources.file import read


@pytest.fixture
def measured():
    return Measured(
        services=1000, documents=13_000, clients=200, ready_seconds=5.0,
        endpoint_ms=[100.0, 200.0, 300.0], route_ms=[110.0, 120.0, 130.0], python_ms=40.0,
        cpu_ms=90.0, idle_mib=200.0, client_kib=150.0, restart_seconds=1.0, resync_seconds=1.5,
    )  # fmt: skip


def test_its_mesh_has_no_findings(tmp_path):
    documents.write(tmp_path / "mesh", 3)
    result = compile_mesh(read([tmp_path / "mesh"]), 1)
    assert list(result.diagnostics) == []
    assert documents.host(2) in {service["host"] for service in result.required()["services"]}
    assert len(result.required()["workloads"]) == 3 * documents.WORKLOADS


def test_an_edit_is_one_resource(tmp_path):
    mesh = tmp_path / "mesh"
    documents.write(mesh, 2)
    kept = Compilation()
    kept.take(read([mesh]))
    before = dict(kept.resources)
    for edit, name in (({"last_address": 1}, "workload/"), ({"timeout_ms": 1}, "route/")):
        documents.edit(mesh, 1, **edit)
        kept.take(read([mesh]))
        (differs,) = [key for key, value in kept.resources.items() if value != before[key]]
        assert differs.startswith(name)
        documents.edit(mesh, 1)
        kept.take(read([mesh]))


def test_results_are_a_table_and_a_picture(tmp_path, measured):
    machine = dict.fromkeys(("processor", "system", "meshcore", "Python", "date"), "x")
    kept = {"machine": machine, "measured": [asdict(measured)]}
    (tmp_path / "scale.json").write_text(json.dumps(kept))
    report.write(tmp_path)
    text = (tmp_path / "scale.md").read_text()
    assert "| change of an endpoint, p50 ms | 200 |" in text
    assert "| more for each client, KiB | 150 |" in text
    root = ET.parse(tmp_path / "scale.svg").getroot()  # noqa: S314 - our own
    bars = root.findall("{http://www.w3.org/2000/svg}rect")
    assert len(bars) == 1 + 4
    assert "change of a route, p99 ms 130" in report.line(measured)
