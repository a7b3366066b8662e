import subprocess
import sys
from pathlib import Path

import pytest

import meshcore
from meshcore import config

ROOT = Path(__file__).parents[3]


def test_the_package_has_a_version():
    assert meshcore.__version__


def test_other_names_are_not_made_up():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = meshcore.nothing
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = config.nothing


def test_what_is_offered_is_there():
    for name in config.__all__:
        assert getattr(config, name) is not None


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
