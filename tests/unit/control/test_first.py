import pytest

from meshcore.control.compiler import Prepared, Refused, read
from meshcore.control.first import first
from meshcore.control.last_good import LastGood
from meshcore.errors import Diagnostic, Severity, SnapshotRejected

NEW, OLD = b'{"revision": 2}\n{"new": 1}\n', b'{"revision": 1}\n{"old": 1}\n'


def begin(prepared: Prepared) -> bytes:
    if b"bad" in prepared.mesh:
        raise SnapshotRejected("cannot be compiled")
    return prepared.mesh


def refuse():
    raise Refused(2, [Diagnostic(Severity.ERROR, "MC0001", "wrong")])


@pytest.fixture
def kept(tmp_path):
    return LastGood(str(tmp_path / "last-good.json"))


def test_good_documents_are_used(kept):
    kept.write(OLD)
    begun, prepared, refused = first(lambda: read(NEW), kept, begin)
    assert (begun, prepared.revision, refused) == (b'{"new": 1}', 2, None)


@pytest.mark.parametrize("prepare", [refuse, lambda: read(NEW.replace(b"new", b"bad"))])
def test_the_last_good_state_is_used_loudly(kept, prepare, caplog):
    kept.write(OLD)
    begun, prepared, refused = first(prepare, kept, begin)
    assert (begun, prepared.revision, refused.revision) == (b'{"old": 1}', 1, 2)
    assert "THE DOCUMENTS ARE BAD" in caplog.text


@pytest.mark.parametrize("prepare", [refuse, lambda: read(NEW.replace(b"new", b"bad"))])
@pytest.mark.parametrize("state", [None, b"", b'{"revision": 1}\n{"cut'])
def test_without_one_the_start_fails(kept, prepare, state):
    if state is not None:
        kept.write(state)
    with pytest.raises(Refused):
        first(prepare, kept, begin)


def test_a_last_good_state_that_is_bad_as_well_fails(kept):
    kept.write(OLD.replace(b"old", b"bad"))
    with pytest.raises(SnapshotRejected):
        first(refuse, kept, begin)
