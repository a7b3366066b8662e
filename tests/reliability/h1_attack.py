"""Sends a corpus through a proxy and judges what arrives behind it."""

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.reliability.h1_cases import Case
from tests.reliability.h1_origin import Origin
from tests.reliability.rfc9112 import Verdict, judge

AT_ONCE = 16
# A proxy that wants more bytes says nothing; how long silence is waited for.
SILENCE_SECONDS = 0.4
CLOSE_SECONDS = 2.0
# After these a client cannot know where its next request would begin.
_FRAMING_ERRORS = frozenset({400, 414, 431, 501, 505})
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")


@dataclass
class Told:
    """What the client of a case has seen."""

    statuses: list[int] = field(default_factory=list)
    is_closed: bool = False
    got: bytes = b""

    @property
    def is_refused(self) -> bool:
        """Whether the request was not taken: an error, or nothing at all."""
        return not any(status < 400 and status != 100 for status in self.statuses)


@dataclass
class Outcome:
    """What became of a corpus at one proxy."""

    proxy: str
    cases: int = 0
    refused: int = 0
    forwarded: int = 0
    """Reached the origin whole and clean."""
    cut: int = 0
    """A head reached the origin; the body was refused and the connection cut: safe."""
    ambiguous: list[str] = field(default_factory=list)
    """Bytes arrived that two origins may read differently."""
    hidden: list[str] = field(default_factory=list)
    """A lenient reading made a request of what a strict one refuses."""
    unclean: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    """No reading of it is right, and still it was answered as if."""
    kept: list[str] = field(default_factory=list)
    """The connection stayed open after the request was refused."""
    lost: list[str] = field(default_factory=list)
    """A request that is right did not arrive."""
    statuses: Counter[int] = field(default_factory=Counter)
    is_alive: bool = True


async def send(port: int, data: bytes) -> Told:
    """Sends the bytes of a case and reads until nothing more comes."""
    told = Told()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        await writer.drain()
        told.got = await _read(reader, told)
    except (ConnectionError, BrokenPipeError):
        told.is_closed = True
    finally:
        writer.transport.abort()
    told.statuses = [int(status) for status in _STATUS.findall(told.got)]
    return told


async def _read(reader: asyncio.StreamReader, told: Told) -> bytes:
    got = bytearray()
    patience = SILENCE_SECONDS
    while True:
        try:
            async with asyncio.timeout(patience):
                piece = await reader.read(65536)
        except TimeoutError:
            return bytes(got)
        except ConnectionError:
            piece = b""
        if not piece:
            told.is_closed = True
            return bytes(got)
        got += piece
        found = _STATUS.findall(bytes(got))
        # After an error the connection must be closed.
        is_error = bool(found) and int(found[-1]) >= 400
        patience = CLOSE_SECONDS if is_error else SILENCE_SECONDS / 4


async def attack(port: int, cases: Sequence[Case], first: int = 1) -> dict[int, Told]:
    """Sends all cases, some at a time; the number of a case is its place from `first` on."""
    told: dict[int, Told] = {}
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, case: Case) -> None:
        async with gate:
            told[number] = await send(port, case.numbered(number))

    async with asyncio.TaskGroup() as group:
        for number, case in enumerate(cases, first):
            group.create_task(one(number, case))
    return told


def judge_malformed(
    name: str, cases: Sequence[Case], told: dict[int, Told], origin: Origin, first: int = 1
) -> Outcome:
    """Says what became of a malformed corpus."""
    outcome = Outcome(name, cases=len(cases))
    for number, case in enumerate(cases, first):
        seen = told[number]
        verdicts = [judge(came) for came in origin.captured.get(number, [])]
        _note(outcome, case, seen, verdicts)
    # Bytes without a number, such as a head that was cut, are judged too.
    outcome.ambiguous += [
        f"{why} in {c[:80]!r}" for c in origin.unknown if (why := judge(c).ambiguous)
    ]
    return outcome


def _note(outcome: Outcome, case: Case, seen: Told, verdicts: list[Verdict]) -> None:
    outcome.statuses.update(seen.statuses)
    messages = [message for verdict in verdicts for message in verdict.messages]
    unclean = [what for verdict in verdicts for what in verdict.unclean]
    if why := _ambiguity(verdicts):
        outcome.ambiguous.append(f"{case.name}: {why}")
    elif len(messages) > case.requests or any(b"/hidden/" in m.target for m in messages):
        outcome.hidden.append(case.name)
    elif unclean:
        outcome.unclean.append(f"{case.name}: {unclean[0]}")
    else:
        outcome.forwarded += bool(messages)
        outcome.cut += bool(verdicts) and not messages
        outcome.refused += not verdicts
    if case.must_refuse and not seen.is_refused:
        outcome.accepted.append(f"{case.name}: {seen.statuses}")
    if seen.statuses and seen.statuses[-1] in _FRAMING_ERRORS and not seen.is_closed:
        outcome.kept.append(case.name)


def _ambiguity(verdicts: list[Verdict]) -> str:
    """Why the origin cannot know what was meant; empty if it can."""
    if why := next((verdict.ambiguous for verdict in verdicts if verdict.ambiguous), ""):
        return why
    return "two requests at once" if any(len(v.messages) > 1 for v in verdicts) else ""


def judge_legal(
    outcome: Outcome, cases: Sequence[Case], told: dict[int, Told], origin: Origin, first: int
) -> None:
    """Adds what of a legal corpus did not arrive as often as it was sent."""
    for number, case in enumerate(cases, first):
        verdicts = [judge(came) for came in origin.captured.get(number, [])]
        whole = [message for verdict in verdicts for message in verdict.messages]
        strange = [why for verdict in verdicts if (why := verdict.ambiguous or verdict.unclean)]
        if len(whole) != case.requests or strange:
            said = told[number].got[:60]
            outcome.lost.append(f"{case.name}: {len(whole)} of {case.requests} {strange} {said!r}")
