import os
import time
from pathlib import Path

import pytest

from meshcore.errors import UnreadableSource
from meshcore.sources.file import Files, read


def write(path: Path, text: str = "a: 1\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def names(sources, root):
    return [str(Path(s.name).relative_to(root)) for s in sources]


def test_a_directory_is_read_in_order_and_whole(tmp_path):
    for name in (
        "b.yaml",
        "a.yml",
        "sub/c.yaml",
        ".hidden.yaml",
        ".git/d.yaml",
        "e.json",
        "f.yaml~",
    ):
        write(tmp_path / name)
    assert names(read([tmp_path]), tmp_path) == ["a.yml", "b.yaml", "sub/c.yaml"]


def test_a_file_is_read_whatever_it_is_called(tmp_path):
    path = write(tmp_path / ".odd.txt")
    assert [s.text for s in read([str(path)])] == ["a: 1\n"]


def test_a_mounted_config_map_is_read_once(tmp_path):
    write(tmp_path / "..2024_01_01" / "mesh.yaml")
    (tmp_path / "..data").symlink_to("..2024_01_01")
    (tmp_path / "mesh.yaml").symlink_to("..data/mesh.yaml")
    assert names(read([tmp_path]), tmp_path) == ["mesh.yaml"]


def test_links_in_a_circle_end(tmp_path):
    write(tmp_path / "a.yaml")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert names(read([tmp_path]), tmp_path) == ["a.yaml"]


def test_the_same_file_twice_is_read_once(tmp_path):
    path = write(tmp_path / "a.yaml")
    assert len(read([path, path, tmp_path])) == 1


def test_nothing_is_nothing(tmp_path):
    assert read([tmp_path]) == []


def refusals(paths):
    with pytest.raises(UnreadableSource) as raised:
        read(paths)
    return [d.message for d in raised.value.diagnostics]


def test_everything_that_cannot_be_read_is_said(tmp_path):
    (tmp_path / "bad.yaml").write_bytes(b"a: 1\nb: \xff\n")
    (tmp_path / "dangling.yaml").symlink_to("nowhere")
    (tmp_path / "itself.yaml").symlink_to("itself.yaml")
    messages = refusals([tmp_path / "none", tmp_path, tmp_path / "itself.yaml"])
    assert messages == [
        "no such file or directory",
        "too many levels of symbolic links",
        "not UTF-8: byte 0xff in line 2 cannot be read",
        "no such file or directory",
        "too many levels of symbolic links",
    ]


def test_a_file_over_the_limit_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(50 * 1024 * 1024 * 1024)  # sparse
    began = time.monotonic()
    assert refusals([path]) == ["5.12e+04 MiB is over the limit of 16 MiB for one file"]
    assert time.monotonic() - began < 1
    os.truncate(path, 50 * 1024 * 1024)
    assert refusals([path]) == ["50 MiB is over the limit of 16 MiB for one file"]


def test_all_files_together_have_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("meshcore.sources.file.MAX_TOTAL_BYTES", 1024 * 1024)
    for name in ("a.yaml", "b.yaml"):
        write(tmp_path / name, "#" + "x" * 600_000)
    [message] = refusals([tmp_path])
    assert message.endswith("is over the limit of 1 MiB for all files together")


def test_there_may_be_only_so_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr("meshcore.sources.file.MAX_FILES", 2)
    for name in "abc":
        write(tmp_path / f"{name}.yaml")
    assert refusals([tmp_path]) == ["more than 2 files"]


def test_directories_may_be_only_so_deep(tmp_path):
    write(tmp_path.joinpath(*["d"] * 40) / "a.yaml")
    assert refusals([tmp_path]) == ["directories are nested deeper than 32"]


def test_a_pipe_is_not_waited_for(tmp_path):
    path = tmp_path / "pipe.yaml"
    os.mkfifo(path)
    assert refusals([path]) == ["neither a file nor a directory"]
    assert refusals(["/dev/zero"]) == ["neither a file nor a directory"]


def test_a_name_that_is_not_utf_8_is_shown_with_its_bytes(tmp_path):
    write(Path(os.fsdecode(bytes(tmp_path) + b"/\xff.yaml")))
    assert names(read([tmp_path]), tmp_path) == ["\\xff.yaml"]
    with pytest.raises(UnreadableSource) as raised:
        read([os.fsdecode(bytes(tmp_path) + b"/\xfe.yaml")])
    assert raised.value.diagnostics[0].file == f"{tmp_path}/\\xfe.yaml"


@pytest.fixture
def clock(monkeypatch):
    """Lets time pass for what looks at the clock."""
    ahead = [0]
    real = time.time_ns
    monkeypatch.setattr("meshcore.sources.file.time.time_ns", lambda: real() + ahead[0])
    return lambda seconds: ahead.__setitem__(0, seconds * 1_000_000_000)


def test_a_file_that_is_as_it_was_is_not_read_again(tmp_path, clock):
    write(tmp_path / "a.yaml")
    write(tmp_path / "b.yaml")
    files = Files([tmp_path])
    clock(60)
    first = files.read()
    again = files.read()
    assert [one is other for one, other in zip(first, again, strict=True)] == [True, True]
    write(tmp_path / "b.yaml", "b: 2\n")
    third = files.read()
    assert third[0] is first[0]
    assert third[1].data == "b: 2\n"
    assert third == read([tmp_path])


def test_a_file_that_was_just_written_is_read_again(tmp_path):
    path = write(tmp_path / "a.yaml", "a: 1\n")
    files = Files([tmp_path])
    files.read()
    kept = path.stat()
    path.write_text("a: 2\n")
    os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert files.read()[0].data == "a: 2\n"


def test_files_that_went_and_came_are_known(tmp_path, clock):
    write(tmp_path / "a.yaml")
    files = Files([tmp_path])
    clock(60)
    files.read()
    (tmp_path / "a.yaml").unlink()
    assert files.read() == []
    write(tmp_path / "c.yaml")
    assert names(files.read(), tmp_path) == ["c.yaml"]


def test_what_cannot_be_read_now_may_be_later(tmp_path):
    path = write(tmp_path / "a.yaml")
    files = Files([tmp_path])
    path.write_bytes(b"\xff\n")
    with pytest.raises(UnreadableSource, match="not UTF-8"):
        files.read()
    path.write_text("a: 3\n")
    assert files.read()[0].data == "a: 3\n"
