"""Files that outlive a process: the last good state, running sidecars, the authority."""

import os
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from meshcore.control import atomic, compiler
from meshcore.control.last_good import LastGood
from meshcore.control.running import Entry, running
from meshcore.errors import CertificateError


def test_a_file_is_replaced_in_one_step(tmp_path, monkeypatch):
    file = tmp_path / "file"
    atomic.write(str(file), b"old")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        atomic.write(str(file), b"new")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_the_last_good_state_comes_back(tmp_path):
    kept = LastGood(str(tmp_path / "last-good" / "x.json"))
    assert kept.read() is None
    assert not kept.exists
    kept.write(b'{"revision": 4}\n{"mesh": 1}\n')
    assert kept.exists
    prepared = compiler.read(kept.read() or b"")
    assert (prepared.revision, prepared.mesh) == (4, b'{"mesh": 1}')


@pytest.mark.parametrize("answer", [b"", b"{}", b"{}\n", b"{}\n{}", b"not\nnull\n"])
def test_an_answer_that_is_cut_off_is_not_used(answer):
    with pytest.raises(ValueError, match=r"."):
        compiler.read(answer)


def test_running_sidecars_are_found_until_they_are_gone(tmp_path):
    state = str(tmp_path)
    assert list(running(state, "m")) == []
    Entry.of_this_process(state).write("me", "m", {"admin": "127.0.0.1:1"})
    Entry(str(tmp_path / "running" / "x.json"))
    (tmp_path / "running" / "broken.json").write_text("{")
    child = subprocess.Popen(["true"])
    child.wait()
    gone = tmp_path / "running" / "gone.json"
    gone.write_text(f'{{"name": "gone", "mesh": "m", "pid": {child.pid}, "addresses": {{}}}}')
    (one,) = running(state, "m")
    assert (one.name, one.pid, one.addresses["admin"]) == ("me", os.getpid(), "127.0.0.1:1")
    assert not gone.exists()
    assert list(running(state, "other")) == []
    Entry.of_this_process(state).remove()
    assert list(running(state, "m")) == []


class TestAuthority:
    authority = pytest.importorskip("meshcore.control.authority")

    def test_many_at_once_get_the_same(self, tmp_path):
        directory = str(tmp_path / "state" / "ca")
        with ThreadPoolExecutor(8) as pool:
            opened = pool.map(
                lambda _: self.authority.open_or_create(directory, "td").root, range(16)
            )
            assert len(set(opened)) == 1
        assert [path.name for path in (tmp_path / "state").iterdir()] == ["ca"]

    def test_one_that_cannot_be_read_is_named(self, tmp_path):
        (tmp_path / "ca").mkdir(mode=0o700)
        with pytest.raises(CertificateError, match="no such file or directory"):
            self.authority.open_or_create(str(tmp_path / "ca"), "td")

    def test_a_place_that_cannot_be_made_says_what_to_do(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(CertificateError, match="use --state or --cert"):
            self.authority.open_or_create(str(tmp_path / "file" / "ca"), "td")

    def test_comments_may_be_in_any_encoding_and_parts_may_not(self, tmp_path):
        directory = str(tmp_path / "ca")
        root = self.authority.open_or_create(directory, "td").root
        for file in (tmp_path / "ca" / "ca-cert.pem", tmp_path / "ca" / "ca-key.pem"):
            good = file.read_bytes()
            file.write_bytes(b"Ren\xe9's\n" + good)
            assert root in self.authority.load(directory).root
            file.write_bytes(good.replace(b"-----\n", b"-----\n\xff", 1))
            with pytest.raises(CertificateError):
                self.authority.load(directory)
            file.write_bytes(good)

    def test_one_that_others_may_read_is_not_used(self, tmp_path):
        directory = tmp_path / "ca"
        self.authority.open_or_create(str(directory), "td")
        for path in (directory / "ca-key.pem", directory):
            before = stat.S_IMODE(path.stat().st_mode)
            path.chmod(before | 0o040)
            with pytest.raises(CertificateError, match="open to other users"):
                self.authority.load(str(directory))
            path.chmod(before)
        self.authority.load(str(directory))
