import os
from concurrent.futures import ThreadPoolExecutor

from meshcore.config import Source
from meshcore.control.numbering import number

A, B = [Source("a.yaml", "a: 1")], [Source("a.yaml", "a: 2")]


def test_the_same_text_has_the_same_number(tmp_path):
    file = tmp_path / "revision.json"
    assert [number(file, A, 0), number(file, A, 0), number(file, B, 0)] == [1, 1, 2]
    assert number(file, A, 0) == 3
    assert number(file, [Source("b.yaml", "a: 1")], 0) == 4


def test_a_number_is_never_below_the_least(tmp_path):
    file = tmp_path / "revision.json"
    assert number(file, A, 7) == 8
    assert number(file, A, 7) == 8
    assert number(file, A, 9) == 9
    assert number(file, B, 1) == 10


def test_an_edit_never_has_the_number_in_force(tmp_path):
    file = tmp_path / "revision.json"
    in_force = number(file, A, 0)
    assert number(file, B, in_force + 4) == in_force + 5
    file.unlink()
    assert number(file, A, in_force + 5) == in_force + 6


def test_a_file_that_is_cut_off_is_begun_anew(tmp_path):
    file = tmp_path / "revision.json"
    for text in ("", "{", "[]", '{"digest": 1}', '{"digest": "", "revision": "x"}', "\xff"):
        file.write_bytes(text.encode("latin-1"))
        assert number(file, A, 5) == 6


def test_without_a_place_numbers_still_grow(tmp_path):
    assert number(tmp_path / "no" / "revision.json", A, 3) == 4


def test_a_disk_that_is_full_leaves_the_file_of_before(tmp_path, monkeypatch):
    file = tmp_path / "revision.json"
    assert number(file, A, 0) == 1
    before = file.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("full")))
    assert [number(file, B, 1), number(file, B, 2)] == [2, 3]
    assert file.read_bytes() == before
    assert number(file, A, 1) == 1


def test_a_name_that_is_not_utf_8_has_a_number(tmp_path):
    file = tmp_path / "revision.json"
    first, second = (os.fsdecode(name) for name in (b"\xff.yaml", b"\xfe.yaml"))
    assert number(file, [Source(first, "a: 1")], 0) == 1
    assert number(file, [Source(second, "a: 1")], 0) == 2


def test_many_at_once_agree(tmp_path):
    file = tmp_path / "revision.json"
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: number(file, A, 0), range(40))) == {1}
