"""Runs fuzz targets one after the other, and says what became of each: `make fuzz`."""

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fuzz import seeds

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
KEPT = HERE / "corpus"
WORK = HERE / "work"
SPENT = HERE / "spent.json"
# What libFuzzer needs to see which code an input reaches. A stable compiler takes these flags; the
# sanitizers, which need a nightly one, would find little: there is no `unsafe` below the targets.
COVERAGE = " ".join(
    [
        "-Cpasses=sancov-module",
        "-Cllvm-args=-sanitizer-coverage-level=4",
        "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
        "-Cllvm-args=-sanitizer-coverage-pc-table",
        "-Cllvm-args=-sanitizer-coverage-trace-compares",
    ]
)
RUST = ("request", "response", "chunks", "conversation", "h2_head", "path", "hello", "names",
        "mesh", "record", "wire")  # fmt: skip
PYTHON = ("documents", "short_form")
# An input that takes longer, in seconds, or more memory, in MiB, is a finding.
TIMEOUT_S, MEMORY_MIB = 10, 2048


@dataclass(frozen=True)
class Outcome:
    """What became of a target."""

    target: str
    runs: int
    cpu_s: float
    edges: int
    inputs: int
    found: list[Path]

    def row(self) -> str:
        found = ", ".join(path.name for path in self.found) or "nothing"
        each_s = self.runs / max(self.cpu_s, 0.001)
        return (f"{self.target:14}{self.cpu_s:9.0f}{self.runs:13,}{each_s:11,.0f}"
                f"{self.edges:8,}{self.inputs:8,}  {found}")  # fmt: skip


def main() -> int:
    options = _options()
    WORK.mkdir(exist_ok=True)
    program = build() if set(options.targets) & set(RUST) else Path()
    outcomes = []
    for target in options.targets:
        print(f"== {target}: {options.seconds} s", flush=True)
        command = _command(target, program)
        outcomes.append(run(target, command, options.seconds))
        if options.keep:
            keep(outcomes[-1], command)
    print(f"\n{'target':14}{'CPU s':>9}{'runs':>13}{'runs/CPU s':>11}{'edges':>8}{'inputs':>8}  found")
    print("\n".join(outcome.row() for outcome in outcomes))
    return int(any(outcome.found for outcome in outcomes))


def build() -> Path:
    """Builds libFuzzer's program with all Rust targets, and returns where it is."""
    host = re.search(r"^host: (.*)$", _output("rustc", "-vV"), re.MULTILINE)
    if host is None:
        raise SystemExit("rustc does not say what it compiles for")
    # With a target, the flags do not reach build scripts, nor spoil what was built without.
    command = ["cargo", "build", "--quiet", "--locked", "--package=meshcore-fuzz",
               "--features=libfuzzer", "--bin=fuzz", "--profile=fuzz", f"--target={host[1]}"]  # fmt: skip
    flags = f"{os.environ.get('RUSTFLAGS', '')} {COVERAGE}"
    subprocess.run(command, cwd=ROOT, env=os.environ | {"RUSTFLAGS": flags}, check=True)
    metadata = json.loads(_output("cargo", "metadata", "--format-version=1", "--no-deps"))
    return Path(metadata["target_directory"], host[1], "fuzz", "fuzz")


def run(target: str, command: list[str], seconds: int) -> Outcome:
    """Fuzzes `target` for so long, beginning with what is kept and what other tests send."""
    kept, work = _folders(target)
    for name, data in seeds.of(target):
        (work / f"seed-{name}").write_bytes(data)
    before, began = set(_findings(target)), _children_cpu_s()
    limits = [f"-max_total_time={seconds}", f"-timeout={TIMEOUT_S}", f"-rss_limit_mb={MEMORY_MIB}",
              f"-artifact_prefix={WORK}/found-{target}-", "-print_final_stats=1"]  # fmt: skip
    log = WORK / f"{target}.log"
    with log.open("w") as out:
        process = subprocess.Popen([*command, *limits, str(work), str(kept)], cwd=ROOT, stdout=out,
                                   stderr=subprocess.STDOUT)  # fmt: skip
        _show_progress(process, log)
    text = log.read_text(errors="replace")
    found = sorted(set(_findings(target)) - before)
    if process.returncode and not found:
        raise SystemExit(f"{target} does not run: see {log}\n{text[-2000:]}")
    if found:
        print(text[-3000:])
    runs = re.findall(r"stat::number_of_executed_units: (\d+)", text) or re.findall(r"^#(\d+)\t", text, re.M)
    edges = re.findall(r"\bcov: (\d+)", text)
    return Outcome(target, int(runs[-1]) if runs else 0, _children_cpu_s() - began,
                   int(edges[-1]) if edges else 0, len(list(work.iterdir())), found)  # fmt: skip


def keep(outcome: Outcome, command: list[str]) -> None:
    """Adds to the kept inputs those that reach something new, and counts the time."""
    kept, work = _folders(outcome.target)
    chosen = WORK / f"chosen-{outcome.target}"
    shutil.rmtree(chosen, ignore_errors=True)
    chosen.mkdir()
    subprocess.run([*command, "-set_cover_merge=1", f"-timeout={TIMEOUT_S}", str(chosen), str(work)],
                   cwd=ROOT, check=True, capture_output=True)  # fmt: skip
    for path in kept.glob("reached-*"):
        path.unlink()
    for path in chosen.iterdir():
        shutil.copy(path, kept / f"reached-{path.name[:12]}")
    spent = json.loads(SPENT.read_text()) if SPENT.exists() else {}
    spent[outcome.target] = round(spent.get(outcome.target, 0) + outcome.cpu_s)
    SPENT.write_text(json.dumps(spent, indent=2, sort_keys=True) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all, unless some are named")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--keep", action="store_true",
                        help="add to corpus what reaches something new, and the time to spent.json")  # fmt: skip
    options = parser.parse_args()
    options.targets = options.targets or [*RUST, *PYTHON]
    unknown = set(options.targets) - {*RUST, *PYTHON}
    if unknown:
        parser.error(f"no target {sorted(unknown)}: there are {[*RUST, *PYTHON]}")
    return options


def _command(target: str, program: Path) -> list[str]:
    if target in RUST:
        os.environ["MESHCORE_FUZZ"] = target
        return [str(program)]
    return [sys.executable, "-m", "fuzz.guided", target]


def _folders(target: str) -> tuple[Path, Path]:
    """Returns where inputs of a target are kept, and where all that were ever made are."""
    folders = KEPT / target, WORK / target
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    return folders


def _findings(target: str) -> Iterator[Path]:
    return WORK.glob(f"found-{target}-*")


def _show_progress(process: subprocess.Popen[bytes], log: Path) -> None:
    """Shows libFuzzer's last line now and then, until it ends."""
    while True:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            lines = log.read_text(errors="replace").splitlines()
            print("   ", lines[-1][:100] if lines else "starts", flush=True)
        else:
            return


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _output(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
