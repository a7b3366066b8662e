import sys
from dataclasses import dataclass, field

import pytest

from meshcore.control.compiler import Prepared, Refused
from meshcore.control.plugins import Plugins
from meshcore.control.reconcile import reconcile
from meshcore.errors import Diagnostic, MeshcoreError, PluginRejected, Severity, SnapshotRejected
from meshcore.sources.watch import Change

DOCUMENTS, BOTH = Change(documents=True), Change(documents=True, plugins=True)


def prepared(revision: int) -> Prepared:
    return Prepared(b"", {"revision": revision}, b"mesh %d" % revision)


def refused(revision: int) -> Refused:
    return Refused(revision, [Diagnostic(Severity.ERROR, "MC0001", "wrong")])


@dataclass
class Recorder:
    """Prepares what it is told to, and writes down what happens."""

    script: list[Prepared | Exception]
    hooks: list[object] | MeshcoreError = field(default_factory=list)
    events: list[object] = field(default_factory=list)
    revision: int = 1
    rejects: bytes = b""
    are_owed: bool = False

    def prepare(self, change):  # noqa: ARG002 - nothing depends on it
        found = self.script.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def load(self):
        if isinstance(self.hooks, MeshcoreError):
            raise self.hooks
        self.are_owed = True
        return self.hooks

    def took_over(self):
        self.are_owed = False

    def apply(self, mesh, hooks=None):
        if mesh == self.rejects:
            raise SnapshotRejected("no")
        self.events.append((mesh, hooks))
        return 0

    def began(self, change):
        pass

    def applied(self, done):
        self.revision = done.revision
        self.events.append(("applied", done.revision))

    def same(self):
        self.events.append("same")

    def rejected(self, error):
        self.events.append(("rejected", type(error).__name__))

    def run(self, *changes):
        reconcile(changes, self.prepare, self, self, self)
        return self.events


def test_a_bad_change_is_skipped_and_the_next_one_applied():
    seen = Recorder([refused(2), prepared(3)])
    assert seen.run(DOCUMENTS, DOCUMENTS) == [
        ("rejected", "Refused"),
        (b"mesh 3", None),
        ("applied", 3),
    ]


def test_what_the_data_plane_refuses_is_not_applied():
    seen = Recorder([prepared(2)], rejects=b"mesh 2")
    assert seen.run(DOCUMENTS) == [("rejected", "SnapshotRejected")]
    assert seen.revision == 1


def test_the_same_documents_are_not_applied_again():
    assert Recorder([prepared(1)]).run(DOCUMENTS) == ["same"]


def test_hooks_go_with_the_documents_or_not_at_all():
    hooks = [object()]
    assert Recorder([prepared(2)], hooks).run(BOTH)[0] == (b"mesh 2", hooks)
    assert Recorder([refused(2)], hooks).run(BOTH) == [("rejected", "Refused")]
    broken = Recorder([prepared(2)], PluginRejected("no"))
    assert broken.run(BOTH) == [("rejected", "PluginRejected")]


@pytest.mark.parametrize("rejects", [b"", b"mesh 2"])
def test_hooks_of_a_change_that_failed_come_with_the_next_one(rejects):
    hooks = [object()]
    first = prepared(2) if rejects else refused(2)
    seen = Recorder([first, prepared(3), prepared(4)], hooks, rejects=rejects)
    events = seen.run(BOTH, DOCUMENTS, DOCUMENTS)
    assert events[0][0] == "rejected"
    assert events[1:] == [
        (b"mesh 3", hooks), ("applied", 3), (b"mesh 4", None), ("applied", 4),
    ]  # fmt: skip


def test_hooks_are_owed_after_a_fault_of_ours_too():
    hooks = [object()]
    seen = Recorder([RuntimeError("fault"), prepared(2)], hooks)
    with pytest.raises(RuntimeError, match="fault"):
        seen.run(BOTH)
    assert seen.run(DOCUMENTS) == [(b"mesh 2", hooks), ("applied", 2)]


def test_hooks_that_are_owed_make_another_revision_of_the_same_documents():
    asked = []

    class Asked(Recorder):
        def prepare(self, change):
            asked.append(change)
            return super().prepare(change)

    Asked([refused(2), prepared(2)]).run(Change(plugins=True), DOCUMENTS)
    assert asked == [Change(plugins=True), BOTH]


PLUGIN = """
from meshcore.plugin import authorize, deny

@authorize
def check(request):
    return deny({status})
"""


def modules():
    return {name for name in sys.modules if name.startswith("_meshcore_plugin_owed_")}


def test_plugins_stay_loaded_until_others_took_over(tmp_path):
    file = tmp_path / "owed.py"
    file.write_text(PLUGIN.format(status=401))
    plugins = Plugins([str(file)])
    plugins.load()
    assert plugins.are_owed
    plugins.took_over()
    (in_force,) = modules()
    for _ in range(2):
        plugins.load()
        assert plugins.are_owed
        assert in_force in modules()
        assert len(modules()) == 2
    file.write_text("import nothing_of_that_name")
    with pytest.raises(PluginRejected):
        plugins.load()
    assert not plugins.are_owed
    assert modules() == {in_force}
    file.write_text(PLUGIN.format(status=402))
    plugins.load()
    plugins.took_over()
    assert not plugins.are_owed
    assert len(modules()) == 1
    assert in_force not in modules()
