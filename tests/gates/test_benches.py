"""Benches run, so that nobody finds them broken when a number is wanted. No time is looked at."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.usefixtures("programs")
def test_a_short_round_of_some(tmp_path):
    scenarios = ["http1", "tcp-ping-pong", "tcp-bulk", "swap", "handshakes", "start"]
    command = [sys.executable, "-m", "benches.peers.run", *scenarios, "--smoke", "--out", tmp_path]
    done = subprocess.run(
        [*command, "--proxies", "floor,meshcore"],
        cwd=ROOT, check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    measured = json.loads((tmp_path / "results.json").read_text())["scenarios"]
    assert [one["name"] for one in measured] == scenarios
    assert all(values[0] > 0 for one in measured for values in one["values"].values())
    text = (tmp_path / "results.md").read_text()
    assert "| HTTP/1.1 | <= 1.15 of floor | " in text
    assert "</svg>" in (tmp_path / "results.svg").read_text()
