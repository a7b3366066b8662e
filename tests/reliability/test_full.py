"""The full form reports what it could not run, and runs the rest."""

import sys

import pytest
from tests.reliability import full


def _broken():
    yield "leaked"
    raise FileNotFoundError("tool")


def _right():
    print("ran")
    yield from ()


def test_a_part_that_cannot_run_is_a_failure_and_the_others_go_on(monkeypatch, capsys):
    monkeypatch.setattr(full, "PARTS", {"broken": _broken, "right": _right})
    monkeypatch.setattr(sys, "argv", ["full"])
    with pytest.raises(SystemExit) as ended:
        full.main()
    assert ended.value.code == 1
    said = capsys.readouterr().out.splitlines()
    assert "ran" in said
    assert said[-2:] == [
        "broken: leaked",
        "broken: did not run: FileNotFoundError('tool')",
    ]


def test_a_part_that_nobody_knows_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["full", "flods"])
    with pytest.raises(SystemExit) as ended:
        full.main()
    assert ended.value.code == 2
    assert "no part is called flods" in capsys.readouterr().err
