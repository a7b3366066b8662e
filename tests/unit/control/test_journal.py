import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshcore.control import journal
from meshcore.control.journal import Journal

ONE, TWO = b'{"route":{"a":1}}', b'{"route":{"a":2}}'


@pytest.fixture
def path(tmp_path):
    return tmp_path / "below" / "mesh.jsonl"


def test_nothing_was_kept(path):
    assert Journal(path).read() is None
    assert not Journal(path).append(1, [], [])


def test_changes_are_added_to_the_whole(path):
    kept = Journal(path)
    kept.write_whole(3, {"route/a": ONE, "route/b": ONE})
    assert kept.append(4, [("route/a", TWO), ("route/c", ONE)], ["route/b"])
    found = Journal(path).read()
    assert found.revision == 4
    assert found.resources == {"route/a": json.loads(TWO), "route/c": json.loads(ONE)}


def test_one_that_was_read_goes_on(path):
    Journal(path).write_whole(1, {"route/a": ONE})
    again = Journal(path)
    again.read()
    assert again.append(2, [("route/a", TWO)], [])
    assert Journal(path).read().resources == {"route/a": json.loads(TWO)}


@settings(max_examples=60, deadline=None)
@given(st.integers(min_value=0, max_value=400))
def test_whatever_was_cut_off_what_is_before_it_stands(tmp_path_factory, left):
    path = tmp_path_factory.mktemp("journal") / "mesh.jsonl"
    kept = Journal(path)
    kept.write_whole(1, {"route/a": ONE})
    sizes = [path.stat().st_size]
    for revision in (2, 3):
        kept.append(revision, [("route/a", b'{"route":%d}' % revision)], [])
        sizes.append(path.stat().st_size)
    path.write_bytes(path.read_bytes()[:left])
    again = Journal(path)
    found = again.read()
    whole = sum(size <= left for size in sizes)
    assert (found.revision if found else 0) == whole
    assert again.append(9, [("route/b", ONE)], []) == (left in sizes or left > sizes[-1])


def test_what_somebody_else_wrote_is_not_added_to(path):
    kept = Journal(path)
    kept.write_whole(1, {"route/a": ONE})
    path.write_bytes(b"")
    assert not kept.append(2, [("route/a", TWO)], [])


def test_many_changes_are_written_together(path, monkeypatch):
    monkeypatch.setattr(journal, "MOST_BYTES", 100)
    kept = Journal(path)
    kept.write_whole(1, {"route/a": ONE})
    results = [kept.append(n, [("route/a", TWO)], []) for n in range(2, 9)]
    assert results[0]
    assert not results[-1]


@pytest.mark.parametrize("text", ["[]\n", "{}\n", "null\n", '{"revision": 1}\n', "\xff\n"])
def test_what_is_no_journal_is_nothing(path, text):
    path.parent.mkdir()
    path.write_bytes(text.encode("latin-1"))
    assert Journal(path).read() is None
