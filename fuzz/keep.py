"""What stays of fuzzing: a few inputs for each target, and the time that was spent."""

import json
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
KEPT = HERE / "corpus"
SPENT = HERE / "spent.json"
# Chosen inputs of one target: few enough that every test run reads them all.
MOST_INPUTS = 24
MOST_BYTES = 4096
_CHOSEN = "reaches-"


def keep(command: list[str], folders: tuple[Path, Path]) -> None:
    """Chooses anew the inputs that together reach most; those with a name of their own stay."""
    work, kept = folders
    for path in kept.glob(f"{_CHOSEN}*"):
        shutil.move(path, work / path.name)
    few, control = work.with_suffix(".few"), work.with_suffix(".control")
    _merge([*command, "-merge=1"], work, few, control)
    # That is exact for many inputs in little time, and the other way round.
    _merge([*command, "-set_cover_merge=1"], few, work.with_suffix(".fewer"), control)
    for number, path in enumerate(_widest(control)):
        shutil.copy(path, kept / f"{_CHOSEN}{number:02}")


def _merge(command: list[str], source: Path, into: Path, control: Path) -> None:
    """Copies the inputs that are needed; `control` says what each of them reaches."""
    control.unlink(missing_ok=True)
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    # Code that is reached counts, and not how often.
    options = ["-use_counters=0", "-use_cmp=0", f"-merge_control_file={control}"]
    command = [*command, *options, str(into), str(source)]
    done = subprocess.run(command, cwd=HERE.parent, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"inputs of {source} cannot be merged:\n{done.stderr[-2000:]}")


def _widest(control: Path) -> list[Path]:
    """Returns inputs, each of which reaches most of what those before do not."""
    lines = control.read_text().splitlines()
    paths = [Path(line) for line in lines[2 : 2 + int(lines[0])]]
    records = [line.split() for line in lines[2 + len(paths) :] if line.startswith("FT ")]
    left = {paths[int(number)]: set(places) for _ft, number, *places in records}
    left = {path: places for path, places in left.items() if path.stat().st_size <= MOST_BYTES}
    chosen: list[Path] = []
    while left and len(chosen) < MOST_INPUTS:
        widest = max(left, key=lambda path: (len(left[path]), -path.stat().st_size))
        reached = left.pop(widest)
        if not reached:
            break
        chosen.append(widest)
        left = {path: places - reached for path, places in left.items()}
    return chosen


def note_spent(target: str, cpu_s: float) -> None:
    """Adds to the CPU seconds that a target was fuzzed for."""
    spent = json.loads(SPENT.read_text()) if SPENT.exists() else {}
    spent[target] = round(spent.get(target, 0) + cpu_s)
    SPENT.write_text(json.dumps(spent, indent=2, sort_keys=True) + "\n")
