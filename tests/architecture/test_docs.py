"""What documents say of the code is true: files exist, and hold what is named beside them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WAYS = {"way-of-a-request": "request", "way-of-a-change": "change"}  # and their pictures
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("benches/**/*.md"),
        *ROOT.glob("fuzz/*.md"),
    ]
)

LINK = re.compile(r"\[[^\]]*\]\((?!https?:|#)([^)#]+)\)")
# A link to a source file, and the names in code type that follow it directly.
CLAIM = re.compile(r"\]\((?P<file>[^)]+\.(?:rs|py))\)(?P<names>(?: `[A-Za-z_]\w*`)+)")
STAGE = re.compile(r'<text class="stage"[^>]*>([^<]+)<')
ROW = re.compile(r"^\| ([a-z ]+) \| \[", re.MULTILINE)


def test_the_ways_are_drawn():
    assert {f"docs/{way}.md" for way in WAYS} <= set(DOCUMENTS)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    path = ROOT / document
    targets = LINK.findall(path.read_text())
    assert [link for link in targets if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("way", WAYS)
def test_files_hold_what_is_named_beside_them(way):
    path = ROOT / "docs" / f"{way}.md"
    claims = list(CLAIM.finditer(path.read_text()))
    assert len(claims) >= 8
    for claim in claims:
        source = (path.parent / claim["file"]).read_text()
        for name in re.findall(r"\w+", claim["names"]):
            defined = rf"\b(fn|struct|enum|trait|type|def|class) {name}\b"
            assert re.search(defined, source), f"{way}: {claim['file']} has no {name}"


@pytest.mark.parametrize(("way", "picture"), WAYS.items())
def test_the_picture_shows_the_stages_of_the_table(way, picture):
    drawn = STAGE.findall((ROOT / "docs/pictures" / f"{picture}.svg").read_text())
    told = ROW.findall((ROOT / "docs" / f"{way}.md").read_text().split("\n## ")[0])
    assert drawn == told


def test_stages_of_the_pipeline_run_in_the_order_that_is_drawn():
    pipeline = (ROOT / "crates/meshcore-proxy/src/pipeline.rs").read_text()
    body = pipeline.split("async fn all_stages", 1)[1]
    called = re.findall(r"\b(route|authorize|shape|forward)\(self, ", body)
    drawn = STAGE.findall((ROOT / "docs/pictures/request.svg").read_text())
    assert called == [stage for stage in drawn if stage in called]
    assert len(called) == 4
