from dataclasses import dataclass, field

from meshcore.control.compiler import Prepared, Refused
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

    script: list[Prepared | MeshcoreError]
    hooks: list[object] | MeshcoreError = field(default_factory=list)
    events: list[object] = field(default_factory=list)
    revision: int = 1
    rejects: bytes = b""

    def prepare(self, change):  # noqa: ARG002 - nothing depends on it
        found = self.script.pop(0)
        if isinstance(found, MeshcoreError):
            raise found
        return found

    def load(self):
        if isinstance(self.hooks, MeshcoreError):
            raise self.hooks
        return self.hooks

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
        reconcile(changes, self.prepare, self.load, self, self)
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
