"""Runs fuzz targets one after the other, and says what became of each: `make fuzz`."""

import argparse
import json
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fuzz.keep import KEPT, SPENT, keep, note_spent

from fuzz import seeds

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "fuzz" / "work"
# What libFuzzer needs to see which code an input reaches. A stable compiler takes these flags; the
# sanitizers, which need a nightly one, would find little: there is no `unsafe` below the targets.
COVERAGE = (
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
)
# Targets, and the longest input that is worth making for each, in bytes.
RUST = {
    "request": 1024,
    "response": 1024,
    "chunks": 512,
    "conversation": 2048,
    "h2_head": 1024,
    "path": 256,
    "hello": 4096,
    "names": 300,
    "mesh": 16 * 1024,
    "record": 512,
    "dns": 512,
    "wire": 4096,
}
PYTHON = {"documents": 4096, "short_form": 2048}
ALL = RUST | PYTHON
# An input that takes longer, in seconds, or more memory, in MiB, is a finding.
TIMEOUT_S, MEMORY_MIB = 10, 2048
# How often a running target says how far it is.
PROGRESS_S = 15


@dataclass(frozen=True)
class Outcome:
    """What became of a target."""

    target: str
    cpu_s: float
    runs: int
    edges: int
    found: list[Path]

    def row(self) -> str:
        """Returns a line of the summary."""
        found = ", ".join(str(path.relative_to(ROOT)) for path in self.found) or "nothing"
        a_second = self.runs / max(self.cpu_s, 0.001)
        counts = f"{self.cpu_s:8.0f}{self.runs:14,}{a_second:12,.0f}{self.edges:9,}"
        return f"{self.target:14}{counts}  {found}"


HEADER = f"{'target':14}{'CPU s':>8}{'runs':>14}{'runs/CPU s':>12}{'edges':>9}  found"


def main() -> int:
    """Runs what the command line names; 1 when something was found."""
    options = _options()
    program = build() if set(options.targets) & set(RUST) else Path()
    outcomes = []
    for target in options.targets:
        print(f"== {target}, {options.seconds} s", flush=True)
        command = _command(target, program)
        outcome = run(target, command, options.seconds)
        outcomes.append(outcome)
        if options.keep and not outcome.found:
            note_spent(target, outcome.cpu_s)
            if target in RUST:  # atheris cannot merge
                keep([*command, f"-timeout={TIMEOUT_S}"], _folders(target))
    print("", HEADER, *(outcome.row() for outcome in outcomes), sep="\n")
    return int(any(outcome.found for outcome in outcomes))


def build() -> Path:
    """Builds libFuzzer's program with all Rust targets, and returns where it is."""
    host = re.search(r"^host: (.*)$", _output("rustc", "-vV"), re.MULTILINE)
    if host is None:
        raise SystemExit("rustc -vV does not say what it compiles for")
    # With a target, the flags do not reach build scripts, nor spoil what was built without.
    command = ["cargo", "build", "--quiet", "--locked", "--package=meshcore-fuzz", "--bin=fuzz",
               "--features=libfuzzer", "--profile=fuzz", f"--target={host[1]}"]  # fmt: skip
    flags = f"RUSTFLAGS={' '.join(COVERAGE)}"
    subprocess.run(["env", flags, *command], cwd=ROOT, check=True)
    metadata = json.loads(_output("cargo", "metadata", "--format-version=1", "--no-deps"))
    return Path(metadata["target_directory"], host[1], "fuzz", "fuzz")


def run(target: str, command: list[str], seconds: int) -> Outcome:
    """Fuzzes a target for so long, beginning with what is kept and what other tests send."""
    work, kept = _folders(target)
    for name, data in seeds.of(target):
        (work / f"seed-{name}").write_bytes(data)
    before, began_s = set(_findings(target)), _children_cpu_s()
    options = [
        f"-max_total_time={seconds}",
        f"-timeout={TIMEOUT_S}",
        f"-rss_limit_mb={MEMORY_MIB}",
        f"-artifact_prefix={WORK}/found-{target}-",
    ]
    log = WORK / f"{target}.log"
    with log.open("w") as out:
        process = subprocess.Popen([*command, *options, str(work), str(kept)], cwd=ROOT,
                                   stdout=out, stderr=subprocess.STDOUT)  # fmt: skip
        _show_progress(process, log)
    text = log.read_text(errors="replace")
    found = sorted(set(_findings(target)) - before)
    if process.returncode:
        print(text[-3000:])
        if not found:
            raise SystemExit(f"{target} does not run: all that it said is in {log}")
    runs, edges = re.findall(r"^#(\d+)\t", text, re.MULTILINE), re.findall(r"\bcov: (\d+)", text)
    cpu_s = _children_cpu_s() - began_s
    return Outcome(target, cpu_s, int((runs or [0])[-1]), int((edges or [0])[-1]), found)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(ALL)}; or all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (%(default)s)")
    parser.add_argument(
        "--keep",
        action="store_true",
        help=f"choose the inputs in {KEPT.relative_to(ROOT)} anew, and add up {SPENT.name}",
    )
    options = parser.parse_args()
    options.targets = options.targets or list(ALL)
    unknown = set(options.targets) - set(ALL)
    if unknown:
        parser.error(f"no target is called {', '.join(unknown)}: there are {', '.join(ALL)}")
    return options


def _command(target: str, program: Path) -> list[str]:
    if target in PYTHON:
        command = [sys.executable, "-m", "fuzz.guided", target]
    else:
        command = ["env", f"MESHCORE_FUZZ={target}", str(program)]
    return [*command, f"-max_len={ALL[target]}"]


def _folders(target: str) -> tuple[Path, Path]:
    """Returns where all inputs of a target are that were ever made here, and those kept."""
    folders = WORK / target, KEPT / target
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    return folders


def _findings(target: str) -> Iterator[Path]:
    return WORK.glob(f"found-{target}-*")


def _show_progress(process: subprocess.Popen[bytes], log: Path) -> None:
    while True:
        try:
            process.wait(PROGRESS_S)
        except subprocess.TimeoutExpired:
            lines = log.read_text(errors="replace").splitlines()
            print("  ", lines[-1][:96] if lines else "begins", flush=True)
        else:
            return


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _output(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
