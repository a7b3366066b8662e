import os
import subprocess
import sys
import threading

import pytest

from meshcore.sources import watch
from meshcore.sources.watch import Change, Watch, fingerprint


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.yaml").write_text("one")
    (tmp_path / "deep" / "b.yml").write_text("two")
    return tmp_path


EDITS = {
    "written": lambda d: (d / "a.yaml").write_text("changed"),
    "same size": lambda d: (d / "a.yaml").write_text("eno"),
    "replaced": lambda d: (d / "deep" / "b.yml").rename(d / "a.yaml"),
    "removed": lambda d: (d / "a.yaml").unlink(),
    "added": lambda d: (d / "deep" / "c.yaml").write_text("three"),
    "renamed": lambda d: (d / "a.yaml").rename(d / "c.yaml"),
    "old time": lambda d: ((d / "a.yaml").write_text("x"), os.utime(d / "a.yaml", (1, 1))),
}
NO_EDITS = {
    "nothing": lambda _: None,
    "read": lambda d: (d / "a.yaml").read_text(),
    "hidden": lambda d: (d / ".state.yaml").write_text("x"),
    "hidden directory": lambda d: (d / ".meshcore").mkdir(),
    "other file": lambda d: (d / "notes.txt").write_text("x"),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edit_is_seen(directory, edit):
    before = fingerprint([str(directory)])
    edit(directory)
    assert fingerprint([str(directory)]) != before


@pytest.mark.parametrize("edit", NO_EDITS.values(), ids=NO_EDITS)
def test_what_is_no_document_is_not_seen(directory, edit):
    before = fingerprint([str(directory)])
    edit(directory)
    assert fingerprint([str(directory)]) == before


def test_a_mounted_configmap_is_seen_to_change(directory):
    for name in ("..1", "..2"):
        (directory / name).mkdir()
        (directory / name / "x.yaml").write_text(name)
    (directory / "..data").symlink_to("..1")
    (directory / "x.yaml").symlink_to("..data/x.yaml")
    before = fingerprint([str(directory)])
    (directory / "..new").symlink_to("..2")
    (directory / "..new").rename(directory / "..data")
    assert fingerprint([str(directory)]) != before


def test_a_file_that_is_missing_may_come_and_go(tmp_path):
    file = tmp_path / "mesh.yaml"
    missing = fingerprint([str(file)])
    file.write_text("x")
    assert fingerprint([str(file)]) != missing
    file.unlink()
    assert fingerprint([str(file)]) == missing


class Watching:
    """A watch in a thread, and what it yields."""

    def __init__(self, one):
        self.one, self.seen, self.came = one, [], threading.Semaphore(0)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        for change in self.one.changes():
            self.seen.append(change)
            self.came.release()

    def next(self):
        assert self.came.acquire(timeout=20)
        return self.seen[-1]


@pytest.fixture
def watching(directory, monkeypatch):
    monkeypatch.setattr(watch, "EVERY_SECONDS", 0.01)
    plugin = directory.parent / f"{directory.name}.py"
    plugin.write_text("pass")
    one = Watching(Watch([str(directory)], [str(plugin)]))
    yield one, directory, plugin
    one.one.close()
    one.thread.join(20)
    assert not one.thread.is_alive()


def test_a_change_says_what_to_read_again(watching):
    one, directory, plugin = watching
    (directory / "a.yaml").write_text("changed")
    assert one.next() == Change(documents=True)
    plugin.write_text("import os")
    assert one.next() == Change(plugins=True)


def test_several_writes_in_a_row_are_one_change(watching, monkeypatch):
    one, directory, _ = watching
    monkeypatch.setattr(watch, "STILL_SECONDS", 0.3)
    for i in range(20):
        (directory / "a.yaml").write_text(f"changed {i}")
    one.next()
    one.one.ask()
    assert one.next() == Change(documents=True, plugins=True)
    assert len(one.seen) == 2


def test_files_that_never_rest_are_read_all_the_same(directory, monkeypatch):
    monkeypatch.setattr(watch, "STILL_SECONDS", 0.001)
    monkeypatch.setattr(watch, "STILL_WITHIN_SECONDS", 0.05)
    one = Watch([str(directory)])
    numbers = iter(range(10**6))
    monkeypatch.setattr(one, "_look", lambda: (next(numbers), 0))
    assert one._settled() == Change(documents=True)


ASKED_BY_SIGNALS = """
import signal, time
from meshcore.sources.watch import Watch

one = Watch([])
signal.signal(signal.SIGALRM, lambda *_: one.ask())
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
until = time.monotonic() + 0.5
while time.monotonic() < until:
    one.ask()
signal.setitimer(signal.ITIMER_REAL, 0)
print("done")
"""


def test_a_signal_may_ask_while_others_do():
    done = subprocess.run(
        [sys.executable, "-c", ASKED_BY_SIGNALS], capture_output=True, check=True, timeout=10
    )
    assert done.stdout == b"done\n"


def test_it_is_asked_once_however_often(directory, monkeypatch):
    monkeypatch.setattr(watch, "EVERY_SECONDS", 0.01)
    one = Watch([str(directory)])
    for _ in range(3):
        one.ask()
    changes = one.changes()
    assert next(changes) == Change(documents=True)
    one.close()
    assert list(changes) == []
