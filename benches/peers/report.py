"""Results as a table for people: `results.md` and `results.svg` beside `results.json`."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from benches.peers import picture
from benches.peers.results import FILE, Result, Spread, kept_in
from benches.peers.scenarios import SCENARIOS
from benches.peers.targets import TARGETS, Target

NOT_QUIET = 1.0
# The load's own lateness, above which its latencies are not those of the proxy.
LAG = "lag_p99_us"
MAX_LAG_US = 100.0
_ABOUT = (
    "Written by `make bench-peers`; how it is measured stands in [benches/README.md](../README.md)."
    " Less is better everywhere."
)


# What stands beside a value, in this order, and how its column is called.
_NOTES = {
    "per_second": "a second",
    "busy": "of a processor",
    "p50_us": "p50 us",
    "p99_us": "p99 us",
    "p999_us": "p99.9 us",
    "max_us": "max us",
    LAG: "load late, p99 us",
}


def write(folder: Path) -> None:
    """Writes the table and the picture of all results that a folder has."""
    order = [*SCENARIOS]
    results = sorted(
        (one for one in kept_in(folder) if one.name in SCENARIOS),
        key=lambda one: order.index(one.name),
    )
    machine = json.loads((folder / FILE).read_text())["machine"] if results else {}
    parts = [
        "# Side by side",
        _ABOUT,
        "![Bars of the proxies in each scenario](results.svg)",
        "\n".join(f"- {name}: {value}" for name, value in machine.items() if value),
        _warning(results),
        "## To reach",
        _targets(results),
        *(part for result in results for part in (f"## {result.title}", _rows(result))),
    ]
    (folder / "results.md").write_text("\n\n".join(part for part in parts if part) + "\n")
    (folder / "results.svg").write_text(picture.draw(results))


def in_short(result: Result) -> str:
    """Returns a line for each row, for a terminal."""
    return "".join(
        f"  {row:26}{_text(result.spread(row)):>24} {result.unit}  {_text(result.ratio(row))}\n"
        for row in result.values
    )


def _warning(results: Sequence[Result]) -> str:
    noisy = [one.name for one in results if one.load_average >= NOT_QUIET]
    late = [
        one.name
        for one in results
        if any(notes.get(LAG, 0.0) > MAX_LAG_US for notes in one.notes.values())
    ]
    said = {
        "**The machine was not quiet**, so times mean little in": noisy,
        f"**The load was {MAX_LAG_US:.0f} us late or more**, so latencies mean little in": late,
    }
    return "\n\n".join(f"{what}: {', '.join(names)}." for what, names in said.items() if names)


def _targets(results: Sequence[Result]) -> str:
    values = {result.name: result.values for result in results}
    rows = [_judged(target, target.reached(values)) for target in TARGETS]
    return _table(("work", "to reach", "measured", ""), rows)


def _judged(target: Target, reached: float | None) -> Sequence[str]:
    sign = "+" if target.how == "difference" else ""
    wanted = f"<= {sign}{target.at_most:,g} {target.unit}".strip()
    if reached is None:
        return target.what, wanted, "", "not measured"
    shown = f"{reached:{sign},.0f}" if abs(reached) >= 100 else f"{reached:{sign}.2f}"
    if reached <= target.at_most:
        return target.what, wanted, shown, "reached"
    over = reached - target.at_most
    by = f"{over:,.0f}" if over >= 100 else f"{over:.2f}"
    return target.what, wanted, shown, f"**missed by {by}**"


def _rows(result: Result) -> str:
    notes = [note for note in _NOTES if any(note in of_row for of_row in result.notes.values())]
    head = ("", result.unit, f"of {result.against}", *(_NOTES[note] for note in notes))
    rows = [
        (
            row,
            _text(result.spread(row)),
            _text(result.ratio(row)),
            *(_note(result.notes[row].get(note)) for note in notes),
        )
        for row in result.values
    ]
    rounds = max(len(values) for values in result.values.values())
    of_rounds = f"median of {rounds} rounds, quartiles in brackets" if rounds > 1 else "one round"
    command = f"`python -m benches.peers.run {result.name}`"
    return f"{_table(head, rows)}\n\n{command}, {result.date}: {of_rounds}."


def _note(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _text(spread: Spread | None) -> str:
    if spread is None:
        return ""
    digits = 0 if spread.median >= 1000 else 1 if spread.median >= 100 else 2
    low, median, high = (f"{value:,.{digits}f}" for value in vars(spread).values())
    return median if low == high else f"{median} ({low}-{high})"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
