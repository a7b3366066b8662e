import json
import subprocess
import sys
from pathlib import Path

import pytest

from meshcore.control.compile import main

ROOT = Path(__file__).parents[3]


@pytest.fixture
def answer(capsys):
    """Runs the child's `main` with these arguments."""

    def _answer(*arguments):
        status = main([str(a) for a in arguments])
        return status, json.loads(capsys.readouterr().out)

    return _answer


def test_a_mesh_is_written_as_json(answer, tmp_path):
    (tmp_path / "mesh.yaml").write_text("services: {a: {port: 80}}\n")
    status, written = answer("--revision", 9, tmp_path)
    assert status == 0
    assert written["mesh"]["revision"] == 9
    assert written["mesh"]["services"][0]["origin"]["file"] == str(tmp_path / "mesh.yaml")
    assert written["diagnostics"] == []


def test_what_is_refused_has_no_mesh(answer, tmp_path):
    (tmp_path / "mesh.yaml").write_text("services: {a: {prot: 80}}\n")
    status, written = answer(tmp_path)
    assert (status, written["mesh"]) == (65, None)
    assert {d["code"] for d in written["diagnostics"]} == {"IST0106"}
    assert {d["line"] for d in written["diagnostics"]} == {1}


def test_what_cannot_be_read_is_refused(answer, tmp_path):
    status, written = answer(tmp_path / "none")
    assert (status, written["mesh"]) == (65, None)
    assert written["diagnostics"][0]["message"] == "no such file or directory"


def test_it_runs_as_a_process_of_its_own(tmp_path):
    (tmp_path / "mesh.yaml").write_text("services: {é: {port: 80}}\n", encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-I", "-c", CHILD, str(ROOT / "python"), str(tmp_path)],
        capture_output=True,
        check=False,
    )
    assert run.returncode == 65, run.stderr
    assert json.loads(run.stdout)["mesh"] is None
    assert run.stderr == b""


CHILD = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from meshcore.control.compile import main
sys.exit(main())
"""

LEAN = """
import sys
sys.path.insert(0, sys.argv[1])
import meshcore
import meshcore.config, meshcore.sources.file, meshcore.errors, meshcore.units
heavy = {"pydantic", "yaml", "asyncio", "typer", "prometheus_client"} & set(sys.modules)
sys.exit(", ".join(heavy) or 0)
"""


def test_who_only_reads_files_loads_neither_models_nor_yaml():
    run = subprocess.run(
        [sys.executable, "-I", "-c", LEAN, str(ROOT / "python")], capture_output=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, b"")
