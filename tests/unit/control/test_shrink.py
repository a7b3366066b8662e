import os
import time

import pytest

from meshcore.control.shrink import check
from meshcore.errors import ConfigError


def mesh(count):
    return {"services": [{"host": f"s{i}"} for i in range(count)]}


@pytest.fixture
def places(tmp_path):
    documents, state = tmp_path / "mesh", tmp_path / "state"
    documents.mkdir()
    state.mkdir()
    (documents / "a.yaml").write_text("a")
    return documents, state


@pytest.mark.parametrize(
    ("before", "after"),
    [(0, 0), (4, 1), (10, 5), (8, 4), (4, 10)],
)
def test_what_keeps_half_or_loses_few_passes(places, before, after):
    check(mesh(before), mesh(after), *places)


@pytest.mark.parametrize(("before", "after"), [(1, 0), (2, 0), (4, 0), (10, 4), (7, 3)])
def test_what_removes_most_is_refused(places, before, after):
    with pytest.raises(ConfigError, match=rf"removes {before - after} of {before} services"):
        check(mesh(before), mesh(after), *places)


def test_others_in_their_place_do_not_count(places):
    with pytest.raises(ConfigError, match="removes 4 of 4"):
        check(mesh(4), {"services": [{"host": f"t{i}"} for i in range(9)]}, *places)


def test_a_confirmation_holds_for_what_was_before_it(places):
    _, state = places
    (state / "confirm").touch()
    future = time.time_ns() + 10**9
    os.utime(state / "confirm", ns=(future, future))
    check(mesh(4), mesh(0), *places)
    os.utime(state / "confirm", ns=(1, 1))
    with pytest.raises(ConfigError, match=r"removes 4 of 4"):
        check(mesh(4), mesh(0), *places)


def test_a_file_with_an_old_time_is_not_confirmed_by_it(places):
    documents, state = places
    (state / "confirm").touch()
    until = time.monotonic() + 5
    while time.monotonic() < until:
        (documents / "a.yaml").write_text("b")
        os.utime(documents / "a.yaml", ns=(1, 1))
        if (documents / "a.yaml").stat().st_ctime_ns > (state / "confirm").stat().st_mtime_ns:
            break
    with pytest.raises(ConfigError):
        check(mesh(4), mesh(0), *places)
