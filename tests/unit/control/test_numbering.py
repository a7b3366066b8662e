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
    assert number(file, A, 7) == 7
    assert number(file, A, 7) == 7
    assert number(file, A, 8) == 8
    assert number(file, B, 1) == 9


def test_a_file_that_is_cut_off_is_begun_anew(tmp_path):
    file = tmp_path / "revision.json"
    for text in ("", "{", "[]", '{"digest": 1}', '{"digest": "", "revision": "x"}'):
        file.write_text(text)
        assert number(file, A, 5) == 5


def test_without_a_place_numbers_still_grow(tmp_path):
    assert number(tmp_path / "no" / "revision.json", A, 3) == 4


def test_many_at_once_agree(tmp_path):
    file = tmp_path / "revision.json"
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: number(file, A, 0), range(40))) == {1}
