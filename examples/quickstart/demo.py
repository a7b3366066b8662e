"""A mesh of four workloads on this machine, explained step by step: demo.py [--check].

Each step prints the command that it runs. With `--check`, the exit status is 1 unless every step
showed what it should.
"""

import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from processes import DemoError, Processes

HERE = Path(__file__).parent
PARTS = ["mesh", "policy.py", "reviews.py"]

PROGRAMS = {
    "program-v1": "python reviews.py 127.0.0.11 9080 v1",
    "program-v2": "python reviews.py 127.0.0.12 9080 v2",
}
RUN = "meshcore run --port 9080 --mesh mesh --access-log text"
SIDECARS = {
    "reviews-v1": f"{RUN} --service reviews --version v1 --plugin policy.py",
    "reviews-v2": f"{RUN} --service reviews --version v2 --plugin policy.py",
    "productpage": f"{RUN} --service productpage",
    "stranger": f"{RUN} --service stranger",
}

# What productpage's own program would ask: through the sidecar at its side, for a name.
ASK = "curl -sS -H 'Host: reviews:9080' http://127.0.0.21:15001"
MANY = 300
# Out of 300 requests at 10 percent, fewer than 9 or more than 60 come once in ten thousand runs.
V2_SHARE = range(9, 61)
# Logs are written in batches, and files are looked at a few times a second.
SEEN_WITHIN_S = 10


@dataclass(frozen=True)
class Shown:
    """What a step showed."""

    lines: list[str]
    said: str
    """What that means, in plain words."""
    holds: bool


@dataclass(frozen=True)
class Step:
    """A command, and what it shows."""

    title: str
    command: str
    show: Callable[[Processes, str], Shown]


def share(processes: Processes, command: str) -> Shown:
    """Counts who answered."""
    answers = Counter(re.findall(r"reviews (v\d)", processes.run(command)))
    lines = [
        f"{version}  {answers[version]:3}  {'#' * (answers[version] // 6)}"
        for version in ("v1", "v2")
    ]
    said = "productpage asks for a name; its sidecar draws a version for each request, 90 to 10."
    return Shown(lines, said, answers.total() == MANY and answers["v2"] in V2_SHARE)


def identity(processes: Processes, command: str) -> Shown:
    """Looks at what the program was told of its caller."""
    lines = processes.run(command).splitlines()
    said = (
        "Between the sidecars is mutual TLS: both have shown a certificate for their SPIFFE\n"
        "identity. reviews is told who called; a caller cannot make that up."
    )
    caller = "called by spiffe://cluster.local/ns/default/sa/productpage"
    return Shown(lines, said, any(line.endswith(caller) for line in lines))


def plain_text(processes: Processes, command: str) -> Shown:
    """Looks at how a caller without a certificate fares."""
    lines = processes.run(command).splitlines()
    said = "Past its own sidecar, without a certificate: mode STRICT hangs up on plain text."
    return Shown(lines, said, any("curl: (5" in line for line in lines))


def retry(processes: Processes, command: str) -> Shown:
    """Looks for the second try."""
    lines = processes.run(command).splitlines()
    said = "The program failed the first try with 503; the sidecar tried again by itself."
    return Shown(lines, said, any("second try" in line for line in lines))


def denied(processes: Processes, command: str) -> Shown:
    """Looks at the answer for a caller who is not allowed."""
    lines = processes.run(command).splitlines()
    said = (
        "stranger has a certificate too, but mesh.yaml lets only productpage call reviews. Its\n"
        "sidecar passes the request on; the one beside reviews decides, by the proven identity."
    )
    return Shown(lines, said, lines == ["RBAC: access denied", "403"])


def policy_denies(processes: Processes, command: str) -> Shown:
    """Looks at the refusal of the Python policy."""
    lines = processes.run(command).splitlines()
    said = "policy.py, a Python function of three lines, was asked and refused."
    return Shown(lines, said, lines[-1:] == ["403"] and "press pass" in lines[0])


def policy_allows(processes: Processes, command: str) -> Shown:
    """Looks at the answer with a pass."""
    lines = processes.run(command).splitlines()
    said = "With the pass it lets the request in. Rust remembers both answers for 30 seconds."
    return Shown(lines, said, lines[-1:] == ["200"])


def change(processes: Processes, command: str) -> Shown:
    """Goes on asking until only v2 answers."""
    processes.run(command)
    began = time.monotonic()
    asked, answers = 0, Counter[str]()
    latest: set[str] = set()
    while latest != {"v2"} and time.monotonic() < began + SEEN_WITHIN_S:
        found = re.findall(r"reviews (v\d)", processes.run(f"{ASK}/'[1-20]'"))
        latest = set(found)
        answers.update(found)
        asked += 20
    waited_s = time.monotonic() - began
    lines = [
        f"only v2 after {waited_s:.1f} s; {asked} requests meanwhile, {answers.total()} answered"
    ]
    said = (
        "A file is saved and in force: looked at, checked, compiled, swapped in between two\n"
        "requests. None of them was lost."
    )
    return Shown(lines, said, latest == {"v2"} and answers.total() == asked)


def metrics(processes: Processes, command: str) -> Shown:
    """Looks for Istio's metric, and what is in its labels."""
    lines = processes.run(command).splitlines()
    wanted = ["response_code", "source_principal", "connection_security_policy"]
    shown = []
    for line in lines:
        labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
        shown.append(
            f"{line.rpartition(' ')[2]:>4}  " + "  ".join(f"{w}={labels.get(w)}" for w in wanted)
        )
    said = (
        "Istio's names and labels, so that dashboards for Istio work (most labels left out here)."
    )
    text = "\n".join(shown)
    return Shown(shown, said, "response_code=403" in text and "mutual_tls" in text)


def reasons(processes: Processes, command: str) -> Shown:
    """Looks for the reasons of both denials."""
    lines = processes.run(command).splitlines()
    text = "\n".join(lines)
    said = "Each denial is counted under what decided it: a rule, the lack of one, or a function."
    return Shown(
        lines, said, "no rule allows it: AuthorizationPolicy" in text and "only_the_press" in text
    )


def access_log(processes: Processes, command: str) -> Shown:
    """Waits for the line of a denied request."""
    began = time.monotonic()
    while not (text := processes.run(command)) and time.monotonic() < began + SEEN_WITHIN_S:
        time.sleep(0.05)
    said = "One line a request, in Envoy's format. This is the one of stranger."
    return Shown(text.splitlines(), said, "rbac_access_denied" in text and "127.0.0.31" in text)


def mistake(processes: Processes, command: str) -> Shown:
    """Waits for the refusal of a wrong file, and asks whether all goes on."""
    processes.run(command)
    began = time.monotonic()
    while "error[" not in processes.log("productpage"):
        if time.monotonic() > began + SEEN_WITHIN_S:
            break
        time.sleep(0.05)
    refusal = processes.log("productpage").partition(" ERROR ")[2].splitlines()
    answer = processes.run(f"{ASK}/").splitlines()
    said = "A wrong file is refused as a whole, with its line; what was in force goes on."
    holds = any("mesh.yaml:" in line for line in refusal) and "reviews v2" in answer[0]
    return Shown([*refusal, *answer], said, holds)


def status(processes: Processes, command: str) -> Shown:
    """Looks for all four sidecars."""
    lines = processes.run(command).splitlines()
    ready = [name for name in SIDECARS if any(name in line and " ready" in line for line in lines)]
    said = "All sidecars of this mesh on this machine, and all that was refused."
    first_refusal = lines.index("", lines.index("") + 1) if lines.count("") > 1 else len(lines)
    return Shown([*lines[:first_refusal], "..."], said, ready == list(SIDECARS))


STEPS = [
    Step("Two versions, 90 to 10", f"{ASK}/'[1-{MANY}]'", share),
    Step("Who is calling?", f"{ASK}/", identity),
    Step("Without a certificate", "curl -sS http://127.0.0.11:15006/", plain_text),
    Step("A retry", f"{ASK}/moody", retry),
    Step(
        "A caller who may not",
        "curl -sS -w '\\n%{http_code}\\n' -H 'Host: reviews:9080' http://127.0.0.31:15001/",
        denied,
    ),
    Step(
        "A policy in Python says no", f"{ASK}/unreleased -w '\\n%{{http_code}}\\n'", policy_denies
    ),
    Step(
        "... and yes",
        f"{ASK}/unreleased -w '%{{http_code}}\\n' -H 'x-press-pass: tintin'",
        policy_allows,
    ),
    Step(
        "Metrics",
        "curl -sS 'http://127.0.0.{11,12}:15090/metrics' | grep '^istio_requests_total'",
        metrics,
    ),
    Step(
        "Why were they denied?",
        "curl -sS 'http://127.0.0.{11,12}:15090/metrics' | grep '^meshcore_requests_denied'",
        reasons,
    ),
    Step("The access log", "grep -h ' 403 .* 127.0.0.31:' reviews-v?.log", access_log),
    Step(
        "A change, while it runs",
        "sed -i 's/{v1: 90, v2: 10}/{v1: 0, v2: 100}/' mesh/mesh.yaml",
        change,
    ),
    Step("A mistake, while it runs", "sed -i 's/v2: 100/v2: 120/' mesh/mesh.yaml", mistake),
    Step("Status", "meshcore status", status),
]


def start(processes: Processes) -> None:
    """Starts programs and sidecars, and says how."""
    print("Two programs, and four sidecars: productpage and stranger call, reviews answers.")
    print("Each workload has a loopback address of its own, so that all fit on one machine.\n")
    for name, command in PROGRAMS.items():
        print(f"  $ {command} &")
        processes.start(name, command)
    for name, command in SIDECARS.items():
        print(f"  $ {command} &")
        processes.start(name, f"{command} --ready-file {name}.ready")
    began = time.monotonic()
    processes.wait_ready(list(SIDECARS))
    print(f"\n  ready after {time.monotonic() - began:.1f} s\n")


def walk(processes: Processes) -> Iterator[bool]:
    """Goes through the steps; says of each whether it showed what it should."""
    for number, step in enumerate(STEPS, 1):
        print(f"{number}. {step.title}\n\n  $ {step.command}")
        shown = step.show(processes, step.command)
        for line in [*shown.lines, *([] if shown.holds else ["", "NOT what it should have been"])]:
            print(f"    {line}")
        print("\n" + "\n".join(f"  {line}" for line in shown.said.splitlines()) + "\n")
        yield shown.holds


def main() -> int:
    """Runs the demo; returns the exit status."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="meshcore-demo-") as scratch:
        for part in PARTS:
            copy = shutil.copytree if (HERE / part).is_dir() else shutil.copy
            copy(HERE / part, Path(scratch) / part)
        processes = Processes(Path(scratch))
        try:
            start(processes)
            held = list(walk(processes))
        except DemoError as error:
            print(f"the demo cannot go on: {error}", file=sys.stderr)
            return 1
        finally:
            processes.end()
    took_s = time.monotonic() - began
    print(f"{sum(held)} of {len(held)} steps showed what they should, in {took_s:.0f} s.")
    return 0 if all(held) or "--check" not in sys.argv else 1


if __name__ == "__main__":
    sys.exit(main())
