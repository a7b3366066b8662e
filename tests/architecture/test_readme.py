"""The README's tour is valid: its documents compile, its policy loads, its commands exist."""

import re
from pathlib import Path

from meshcore.cli.app import COMMANDS
from meshcore.config import Source, compile_mesh
from meshcore.plugin.registry import Registry

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for found, text in BLOCK.findall(README) if found == language]


def test_its_mesh_compiles_without_a_finding():
    (text,) = blocks("yaml")
    result = compile_mesh([Source("mesh.yaml", text)], 1)
    assert list(result.diagnostics) == []
    assert {service["name"] for service in result.required()["services"]} == {"reviews", "web"}


def test_its_policy_loads(tmp_path):
    (text,) = blocks("python")
    path = tmp_path / "policy.py"
    path.write_text(text)
    registry = Registry()
    registry.load(str(path))
    (hook,) = registry.hooks()
    assert hook.spec.name == "no_drafts"


def test_its_commands_exist():
    called = set(re.findall(r"^meshcore ([a-z]+)", README, re.MULTILINE))
    called |= set(re.findall(r"`meshcore ([a-z]+)", README))
    assert called >= {"run", "status", "demo"}
    assert called <= set(COMMANDS)
    files = ROOT / "python/meshcore/cli"
    assert [name for name in sorted(called) if not (files / f"{name}.py").is_file()] == []


def test_its_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for document in ("README.md", "CONTRIBUTING.md", "benches/README.md"):
        for target in re.findall(r"\bmake ([a-z-]+)", (ROOT / document).read_text()):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{document}: make {target}"
