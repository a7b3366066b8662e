"""The steps of the tour, in order. Each undoes what the next one does not stand on."""

import re
import time
from collections import Counter
from collections.abc import Generator, Iterator
from http import HTTPStatus
from statistics import median

from meshcore.demo.load import Page, many
from meshcore.demo.parts import Part, Printed, Rows, Tally, Typed, Verdict
from meshcore.demo.processes import Command
from meshcore.demo.tour import WITHIN_SECONDS, Ground, Step

# A row of `meshcore graph`, and who must be in it.
_ROW = re.compile(r"^(\S+) +(\S+) .* (\S+)$")
_EDGES = {
    ("door", "shop", "ns/default/sa/door"),
    ("shop", "catalog", "ns/default/sa/shop"),
    ("shop", "tastings-v1", "ns/default/sa/shop"),
    ("shop", "tastings-v2", "ns/default/sa/shop"),
    ("tastings-v2", "ratings", "ns/default/sa/tastings"),
}
_MANY = 300
# Out of 300 requests at 10 percent, fewer than 9 or more than 60 come once in ten thousand runs.
_SHARE = range(9, 61)
# The delay.
_SLOW_MS = 300.0
_FEW = 60
# What a row of the access log says of a request that was denied.
_DENIED = "rbac_access_denied"


def graph(ground: Ground) -> Iterator[Part]:
    """Asks who calls whom."""
    ran = yield from ground.run("meshcore graph --over 3s", is_table=True)
    found = {match.groups() for line in ran.output.splitlines() if (match := _ROW.match(line))}
    missing = _EDGES - found
    yield Verdict(
        not missing,
        "A page of the shop is made of calls between workloads, each through two sidecars. Each "
        "call was encrypted, and each caller has proved who it is with a certificate.",
        {"calls": len(_EDGES & found), "without": sorted(map(list, missing))},
        f"not there: {sorted(missing)}",
    )


def shift(ground: Ground) -> Iterator[Part]:
    """Gives the new version a share."""
    yield from ground.edit(
        "sed -i 's/split: .*/split: {v1: 45, v2: 45, v3: 10}/' mesh/mesh.yaml",
        "mesh/mesh.yaml",
    )
    page, seconds = ground.until("/", lambda page: page.version == "v3")
    counts: Counter[str] = Counter({"v1": 0, "v2": 0, "v3": 0})
    failed = 0
    for number, page in enumerate(many(ground.mesh.url, _MANY), 1):
        counts[page.version] += bool(page.version)
        failed += page.status != HTTPStatus.OK
        yield Tally(dict(counts), is_last=number == _MANY)
    yield Verdict(
        counts["v3"] in _SHARE and counts.total() == _MANY and not failed,
        f"The first answer of v3 came {seconds:.1f} s after the file was saved, without a restart. "
        f"Of {_MANY} pages, {counts['v3']} are of v3: its cups are in colour.",
        {"seconds": round(seconds, 2), "pages": dict(counts), "failed": failed},
        f"{counts['v3']} of {_MANY} of v3, {failed} failed; the last page: {_described(page)}",
    )


def delay(ground: Ground) -> Iterator[Part]:
    """Makes a service slow, and looks where that shows."""
    before = _medians(ground)
    yield from ground.edit("sed -i 's/value: 0/value: 100/' mesh/routes.yaml", "mesh/routes.yaml")
    page, seconds = ground.until("/", lambda page: page.took_ms >= _SLOW_MS)
    after = _medians(ground)
    rows = [(v, f"{before[v]:.0f} ms", f"{after[v]:.0f} ms") for v in before if v in after]
    yield Rows(("page with", "before", "now"), rows)
    yield from ground.edit("sed -i 's/value: 100/value: 0/' mesh/routes.yaml", "mesh/routes.yaml")
    again, _ = ground.until("/", lambda page: _asks_ratings(page) and page.took_ms < _SLOW_MS)
    is_slow = after.get("v2", 0) >= _SLOW_MS and after.get("v1", _SLOW_MS) < _SLOW_MS
    yield Verdict(
        is_slow and again.took_ms < _SLOW_MS,
        f"Calls of ratings wait 300 ms, {seconds:.1f} s after the file was saved. Pages of v1 do "
        "not: it never asks ratings. No program was touched; a slow network is tried like this.",
        {"before_ms": _rounded(before), "after_ms": _rounded(after)},
        f"before {_rounded(before)}, after {_rounded(after)}; the last page: {_described(page)}",
    )


def deny(ground: Ground) -> Iterator[Part]:
    """Takes a caller off the list, and asks why it is refused."""
    yield from ground.edit(
        "sed -i '/ratings:/,$ s/allow: .*/allow: [shop]/' mesh/mesh.yaml", "mesh/mesh.yaml"
    )
    page, seconds = ground.until("/", lambda page: _ratings_status(page) == HTTPStatus.FORBIDDEN)
    yield Printed(f"the page now has, in place of cups: {_described(page)}")
    found = yield from _denial(ground)
    ran = yield from ground.run("meshcore graph --over 3s", is_table=True)
    yield from ground.edit(
        "sed -i '/ratings:/,$ s/allow: .*/allow: [tastings]/' mesh/mesh.yaml",
        "mesh/mesh.yaml",
    )
    again, _ = ground.until("/", lambda page: _ratings_status(page) == HTTPStatus.OK)
    lines = ran.output.splitlines()
    calls = [line for line in lines if line.split()[1:2] == ["ratings"]]
    is_proved = bool(calls) and all("100%" in c and c.endswith("/sa/tastings") for c in calls)
    reason = next((line for line in lines if line.startswith("denied")), "")
    yield Verdict(
        is_proved and _DENIED in found and "mesh.yaml:" in reason and again.is_whole,
        f"tastings has proved who it is, and is refused {seconds:.1f} s after the file was saved. "
        "The sidecar of ratings logs it, and counts it under the line of the file that decided. "
        "The page still came: the shop can do without cups.",
        {"seconds": round(seconds, 2), "reason": reason.partition(": ")[2]},
        f"access log: {found!r}; graph: {calls} {reason!r}; page: {_described(page)}",
    )


def policy(ground: Ground) -> Iterator[Part]:
    """Changes a policy in Python."""
    yield from ground.edit(
        """sed -i 's/^SOLD_OUT.*/SOLD_OUT = {"sencha"}/' policy.py""", "policy.py"
    )
    refused, seconds = ground.until("/tea/sencha", lambda page: page.status == HTTPStatus.FORBIDDEN)
    other, _ = ground.until("/tea/rooibos", lambda _: True)
    rows = [
        (f"{ground.mesh.url}tea/{name}", str(page.status), page.why or "the page")
        for name, page in (("sencha", refused), ("rooibos", other))
    ]
    yield Rows(("asked for", "status", "what came"), rows)
    yield Verdict(
        "sold out" in refused.why and other.status == HTTPStatus.OK,
        f"The sidecar of shop has a Python function, and {seconds:.1f} s after it was saved the "
        "new one decides. Rust calls it once for each path, and remembers the answer.",
        {"seconds": round(seconds, 2), "sencha": refused.status, "rooibos": other.status},
        f"sencha: {refused.status} {refused.why}; rooibos: {other.status} {other.why}",
    )


def mistake(ground: Ground) -> Iterator[Part]:
    """Saves a file with a mistake."""
    yield from ground.edit(
        "sed -i 's/allow: .door./alow: [door]/' mesh/mesh.yaml", "mesh/mesh.yaml"
    )
    analyzed = yield from ground.run("meshcore analyze mesh")
    refused_by = yield from _refused(ground)
    is_refused = len(refused_by) == len(list(ground.mesh.commands()))
    page, _ = ground.until("/", lambda page: page.status == HTTPStatus.OK)
    yield from ground.edit("sed -i 's/alow:/allow:/' mesh/mesh.yaml", "mesh/mesh.yaml")
    yield Verdict(
        "unknown field" in analyzed.output and is_refused and page.is_whole,
        "A file that is wrong is refused as a whole, with its line and what to write instead. What "
        "was in force goes on in every sidecar, and pages still come.",
        {"refused_by": refused_by},
        f"analyze: {analyzed.output[-200:]!r}; refused by {refused_by}; page: {_described(page)}",
    )


STEPS = (
    Step("graph", "Who calls whom?", "The metrics of the sidecars, with Istio's names, as a table.",
         graph),
    Step("shift", "A tenth for the new version", "tastings v3 runs, but nobody is sent to it yet.",
         shift),
    Step("delay", "What if ratings were slow?", "Istio's fault injection, by one number.", delay),
    Step("deny", "Denied, and why?", "ratings lets tastings call; now it lets only shop.", deny),
    Step("policy", "A policy in Python", "Some teas are not for sale today. No document says so.",
         policy),
    Step("mistake", "A mistake", "A letter is missing in a file, while all runs.", mistake),
)  # fmt: skip


def _medians(ground: Ground) -> dict[str, float]:
    """Returns in how many milliseconds a page comes, by version."""
    pages = [page for page in many(ground.mesh.url, _FEW) if page.version]
    versions = sorted({page.version for page in pages})
    return {v: median(page.took_ms for page in pages if page.version == v) for v in versions}


def _denial(ground: Ground) -> Generator[Part, None, str]:
    """Shows the line of the access log about a denied request; lines come in batches."""
    line = f"grep -m 1 {_DENIED} ratings.access.log"
    yield Typed(line)
    began = time.monotonic()
    while not (ran := ground.processes.run(Command.of(line))).output:
        if time.monotonic() > began + WITHIN_SECONDS:
            break
        time.sleep(0.05)
    yield Printed(ran.output.rstrip())
    return ran.output


def _refused(ground: Ground) -> Generator[Part, None, list[str]]:
    """Shows the sidecars as soon as all have seen the mistake; returns who has refused it."""
    yield Typed("meshcore status")
    began, sidecars = time.monotonic(), len(list(ground.mesh.commands()))
    while True:
        ran = ground.processes.run(Command.of("meshcore status"))
        rows = [line.split() for line in ran.output.partition("\n\n")[0].splitlines()[1:]]
        refused = [row[0] for row in rows if row[4:5] == ["1"]]
        if len(refused) == sidecars or time.monotonic() > began + WITHIN_SECONDS:
            yield Printed(ran.output.partition("\n\n")[0].rstrip(), is_table=True)
            return refused
        time.sleep(0.2)


def _asks_ratings(page: Page) -> bool:
    return page.ratings is not None


def _ratings_status(page: Page) -> int | None:
    return page.ratings["status"] if page.ratings else None


def _rounded(medians: dict[str, float]) -> dict[str, int]:
    return {version: round(took) for version, took in medians.items()}


def _described(page: Page) -> str:
    if page.status != HTTPStatus.OK:
        return f"{page.status} {page.why}"
    ratings = page.ratings or {}
    if "why" in ratings:
        return f"ratings answered {ratings['status']}: {ratings['why']}"
    return f"{page.version} after {page.took_ms:.0f} ms"
