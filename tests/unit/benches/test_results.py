"""Results of benches: what is compared with what, and what people see of it."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from benches.peers import picture, report, results
from benches.peers.results import Result, Spread, keep, kept_in
from benches.peers.scenario import Measured
from benches.peers.scenarios import SCENARIOS
from benches.peers.targets import TARGETS, Target

ROUNDS = {
    "floor": [10.0, 20.0, 30.0],
    "meshcore": [11.0, 24.0, 39.0],
    "HAProxy": [12.0, 26.0, 36.0],
}


@pytest.fixture
def result() -> Result:
    rows = {
        row: [Measured(value, {"busy": value / 100}) for value in values]
        for row, values in ROUNDS.items()
    }
    return Result.of(SCENARIOS["http1"], rows, 0.5)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "machine", lambda: {"processor": "one"})
    return tmp_path / "results"


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.what)
def test_a_target_is_about_rows_that_are_measured(target):
    rows = SCENARIOS[target.scenario].rows
    assert target.row in rows
    assert target.against is None or target.against in rows


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=list(SCENARIOS))
def test_a_scenario_compares_with_a_row_of_its_own_and_fits_the_picture(scenario):
    assert scenario.against in scenario.rows
    assert len(scenario.title) <= picture.TITLE_CHARACTERS


def test_pairs_of_rounds_are_compared(result):
    assert result.spread("meshcore") == Spread(17.5, 24.0, 31.5)
    ratio = result.ratio("meshcore")
    assert ratio is not None
    assert ratio.median == pytest.approx(1.2)
    assert result.notes["meshcore"] == {"busy": 0.24}


def test_without_its_peer_there_is_no_ratio(result):
    alone = replace(result, values={"meshcore": [1.0]})
    assert alone.ratio("meshcore") is None
    assert alone.spread("meshcore") == Spread(1.0, 1.0, 1.0)


@pytest.mark.parametrize(("how", "reached"), [("ratio", 1.2), ("difference", 4.0), ("value", 24.0)])
def test_a_target_takes_the_median(result, how, reached):
    against = None if how == "value" else "floor"
    target = Target("it", "http1", 1.15, against=against, how=how)
    assert target.reached({"http1": result.values}) == pytest.approx(reached)
    assert target.reached({}) is None


def test_the_table_says_what_is_missed(result, folder):
    keep(result, folder)
    report.write(folder)
    text = (folder / "results.md").read_text()
    assert "| HTTP/1.1 | <= 1.15 of floor | 1.20 | **missed by 0.05** |" in text
    assert "| HTTP/1.1 | <= 1 of HAProxy | 0.92 | reached |" in text
    assert "| TCP ping-pong | <= 1.05 of floor |  | not measured |" in text
    assert "| meshcore | 24.00 (17.50-31.50) | 1.20 (1.15-1.25) | 0.24 |" in text
    assert "not quiet" not in text


def test_what_is_measured_again_replaces_what_was_there(result, folder):
    keep(result, folder)
    keep(replace(result, name="https"), folder)
    keep(replace(result, load_average=3.0), folder)
    assert {one.name: one.load_average for one in kept_in(folder)} == {"http1": 3.0, "https": 0.5}
    report.write(folder)
    assert "not quiet**, so times mean little in: http1." in (folder / "results.md").read_text()


def test_the_picture_shows_all_rows(result):
    drawn = ET.fromstring(picture.draw([result, replace(result, name="https")]))  # noqa: S314 - ours
    texts = ["".join(element.itertext()) for element in drawn.iter() if "text" in element.tag]
    assert [text for text in texts if text in ROUNDS] == [*ROUNDS, *ROUNDS]
    assert "24.00 (1.20)" in texts
