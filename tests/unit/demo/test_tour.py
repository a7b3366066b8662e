"""Steps that are walked, and how they are shown."""

import io
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from rich.console import Console

from meshcore.demo.addresses import Taken
from meshcore.demo.load import Page, Sight, loaded, many
from meshcore.demo.mesh import Mesh
from meshcore.demo.parts import Changed, Printed, Rows, Tally, Typed, Verdict
from meshcore.demo.people import People
from meshcore.demo.processes import Processes
from meshcore.demo.screen import Programs
from meshcore.demo.steps import STEPS
from meshcore.demo.tour import Ground, Step, Walked, walk

SIGHT = Sight(pages=80, lost=0, rate=7.9, median_ms=4.2, versions={"v1": 40, "v2": 40})


@pytest.fixture
def shop():
    """Pages of v1 and v2 in turns; every tenth is refused."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        asked = 0

        def do_GET(self):
            Handler.asked += 1
            is_refused = Handler.asked % 10 == 0
            version = f"v{Handler.asked % 2 + 1}"
            body = json.dumps({"tastings": {"version": version}}).encode()
            body = b"not now\n" if is_refused else body
            self.send_response(503 if is_refused else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_): ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture
def ground(tmp_path):
    mesh = Mesh(tmp_path, Taken("127.87.9.", 1))
    return Ground(mesh, Processes(tmp_path))


def person(width=80, **options):
    out = io.StringIO()
    return People(Console(file=out, width=width, highlight=False, **options)), out


def step(*parts, name="one"):
    return Step(name, "A step", "What it is about.", lambda _: iter(parts))


def test_a_step_is_shown_part_by_part_and_keeps_its_commands(ground):
    verdict = Verdict(holds=True, said="so it is")
    parts = [Typed("true"), Printed("x"), Typed("false"), verdict]
    shown = []
    walked = walk(step(*parts), ground, shown.append)
    assert shown == parts
    assert (walked.commands, walked.verdict) == (("true", "false"), verdict)


def test_a_step_without_a_verdict_does_not_hold(ground):
    walked = walk(step(Printed("x")), ground, lambda _: None)
    assert not walked.verdict.holds
    assert walked.verdict.seen


def test_an_edit_shows_what_has_changed(ground):
    (ground.mesh.directory / "a.yaml").write_text("one\ntwo\nthree\n")
    parts = list(ground.edit("sed -i s/two/2/ a.yaml", "a.yaml"))
    assert parts == [
        Typed("sed -i s/two/2/ a.yaml"),
        Changed("a.yaml", (" one", "-two", "+2", " three")),
    ]


def test_an_edit_that_fails_is_shown(ground):
    (ground.mesh.directory / "a.yaml").write_text("one\n")
    *_, changed, printed = ground.edit("sed -i s/two a.yaml", "a.yaml")
    assert changed == Changed("a.yaml", ())
    assert "sed" in printed.text


def test_waiting_for_a_page_ends_with_it_or_in_time(tmp_path, shop, monkeypatch):
    ground = Ground(Mesh(tmp_path, Taken("127.87.9.", shop)), Processes(tmp_path))
    page, _ = ground.until("/", lambda page: page.status == 503)
    assert (page.status, page.why) == (503, "not now")
    monkeypatch.setattr("meshcore.demo.tour.WITHIN_SECONDS", 0.1)
    page, seconds = ground.until("/", lambda page: page.version == "v3")
    assert page.version != "v3"
    assert seconds > 0.1


def test_many_pages_are_all_there(shop):
    pages = list(many(f"http://127.0.0.1:{shop}/", 41))
    assert len(pages) == 41
    assert sum(page.status == 503 for page in pages) == 4
    assert {page.version for page in pages if page.status == 200} == {"v1", "v2"}


def test_nobody_who_listens_is_a_page_that_did_not_come():
    (page,) = many("http://127.0.0.1:1/", 1)
    assert (page.status, page.is_whole) == (0, False)
    assert "refused" in page.why


def test_the_load_counts_what_was_lost(shop, monkeypatch):
    monkeypatch.setattr("meshcore.demo.load.RATE", 500)
    with loaded(f"http://127.0.0.1:{shop}/") as load:
        while load.sight().pages < 30:
            pass
    sight = load.sight()
    assert sight.lost == sight.pages // 10
    assert set(sight.versions) == {"v1", "v2"}
    assert sight.rate > 0
    assert load.sight() == sight


@pytest.mark.parametrize("part", ["catalog", "tastings"])
def test_a_page_is_whole_when_all_parts_are(part):
    content = {"catalog": {"status": 200}, "tastings": {"status": 200, "version": "v1"}}
    assert Page(200, 1, content).is_whole
    assert not Page(200, 1, {**content, part: {"status": 503, "why": "x"}}).is_whole


def test_people_see_commands_changes_counts_and_the_verdict():
    people, out = person()
    people.part(Typed("sed -i s/a/b/ mesh.yaml"))
    people.part(Changed("mesh.yaml", ("-a", "+b")))
    people.part(Tally({"v1": 1}, is_last=False))
    people.part(Tally({"v1": 270, "v3": 30}, is_last=True))
    people.part(Rows(("page", "now"), (("v1", "300 ms"),)))
    people.part(Verdict(holds=True, said="It is so."))
    people.part(Verdict(holds=False, said="It is so.", seen="nothing came"))
    text = out.getvalue()
    assert "  $ sed -i s/a/b/ mesh.yaml\n    -a\n    +b\n" in text
    assert "v1  270   90%  " + "█" * 36 in text
    assert "v3   30   10%  ████ " in text
    assert "PAGE  NOW" in text
    assert "✓ It is so." in text
    assert "✗ Not as it should be: nothing came" in text
    assert "\x1b" not in text


def test_sentences_are_broken_and_tables_cut_at_the_width_of_a_terminal():
    people, out = person(width=40, force_terminal=True, color_system=None)
    people.part(Printed("x" * 60, is_table=True))
    people.part(Printed("y " * 30))
    people.part(Verdict(holds=True, said="so " * 30))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 40
    assert "    " + "x" * 35 + "…" in lines


def test_in_a_file_tables_are_whole():
    people, out = person(width=40)
    people.part(Printed("x" * 60, is_table=True))
    assert "x" * 60 in out.getvalue()


def test_colours_are_left_out_where_they_are_not_wanted(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    people, out = person(force_terminal=True)
    people.part(Verdict(holds=True, said="It is so."))
    people.part(Changed("a", ("-x",)))
    assert "\x1b[3" not in out.getvalue()


def test_a_plain_terminal_gets_plain_letters():
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    people = People(Console(file=out, width=80))
    people.part(Tally({"v1": 1}, is_last=True))
    people.part(Verdict(holds=True, said="It is so."))
    people.part(Verdict(holds=False, said="", seen="nothing"))
    out.seek(0)
    assert "#" * 40 in out.read()


def test_people_are_told_what_failed_and_what_was_lost():
    people, out = person()
    bad = Walked(step(name="shift"), (), Verdict(holds=False, said=""), 1.0)
    people.ended([bad], Sight(80, 2, 7.9, 4.2, {}), 12.0)
    text = " ".join(out.getvalue().split())
    assert "0 of 1 steps showed what they should, in 12 s." in text
    assert "80 pages, and 2 of them were lost." in text
    assert "Not as it should be: shift." in text


def test_people_are_told_where_it_is_and_what_comes(ground):
    people, out = person(width=200)
    people.starting(iter(["shop", "door"]), 2)
    people.started(ground.mesh, 2.5)
    people.step(STEPS[0], 1, 6)
    people.staying(ground.mesh)
    text = out.getvalue()
    assert "7 sidecars in 2.5 s" in text
    assert f"    {ground.mesh.url}\n" in text
    assert f"    {ground.mesh.directory}\n" in text
    assert "$ meshcore run --mesh mesh" in text
    assert f"1/6  {STEPS[0].title}" in text
    assert f"goes on at {ground.mesh.url}" in text


@pytest.mark.parametrize(
    ("typed", "goes_on"), [("\n", True), ("next\n", True), ("q\n", False), ("", False)]
)
def test_a_person_goes_on_by_enter_and_ends_by_q(monkeypatch, typed, goes_on):
    monkeypatch.setattr("meshcore.demo.people._typed", lambda: typed)
    people, out = person(force_terminal=True, color_system=None)
    assert people.wait("Enter: next", lambda: SIGHT, lambda: False) == goes_on
    assert "80 pages  7.9/s  0 lost  4 ms  v1 40  v2 40   Enter: next" in out.getvalue()


def test_what_comes_meanwhile_ends_the_wait():
    people, _ = person()
    assert not people.wait("Enter: next", lambda: SIGHT, lambda: True)
    assert not Programs().wait("", lambda: SIGHT, lambda: True)


def test_programs_get_a_line_of_json_for_each_step(ground, capsys):
    programs = Programs()
    programs.starting(iter(["shop"]), 1)
    programs.started(ground.mesh, 2.5)
    good = walk(
        step(Typed("true"), Verdict(holds=True, said="ü", measured={"n": 1})), ground, programs.part
    )
    bad = walk(step(Verdict(holds=False, said="x", seen="y")), ground, programs.part)
    programs.walked(good)
    programs.walked(bad)
    programs.ended([good, bad], SIGHT, 9.0)
    start, first, second, end = map(json.loads, capsys.readouterr().out.splitlines())
    assert start["url"] == ground.mesh.url
    assert len(start["commands"]) == 7
    assert (first["holds"], first["said"], first["measured"]) == (True, "ü", {"n": 1})
    assert first["commands"] == ["true"]
    assert (second["holds"], second["said"]) == (False, "y")
    assert (end["holds"], end["pages"], end["lost"]) == (False, 80, 0)


def test_steps_have_names_of_their_own():
    assert len({step.name for step in STEPS}) == len(STEPS)
    assert all(step.name.isalpha() and step.title and step.intro for step in STEPS)
