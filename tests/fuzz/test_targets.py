"""What is said of the targets in several places is the same."""

import re
from pathlib import Path

from fuzz.keep import KEPT
from fuzz.run import ALL, RUST

FUZZ = Path(__file__).resolve().parents[2] / "fuzz"
MOST_FILES, MOST_BYTES = 60, 16 * 1024


def test_what_is_run_in_rust_are_the_targets_there_are():
    named = re.findall(r'Target \{ name: "(\w+)"', (FUZZ / "src/lib.rs").read_text())
    assert list(RUST) == named


def test_the_ledger_has_every_target():
    rows = re.findall(r"^\| `(\w+)` \|", (FUZZ / "README.md").read_text(), re.MULTILINE)
    assert rows == list(ALL)


def test_every_target_keeps_a_few_small_inputs():
    assert {path.name for path in KEPT.iterdir()} == set(ALL)
    for target in ALL:
        kept = list((KEPT / target).iterdir())
        assert 3 <= len(kept) <= MOST_FILES, target
        assert [path for path in kept if path.stat().st_size > MOST_BYTES] == []
