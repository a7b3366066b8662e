"""The targets that read documents, with all that was kept and with changes to it."""

import pytest

pytest.importorskip("meshcore.native")

from fuzz.documents import TARGETS
from fuzz.keep import KEPT
from fuzz.run import PYTHON

from fuzz import trees

pytestmark = pytest.mark.native

# Changes to one kept input: with all of them, some seconds.
CHANGES = 5

KEPT_INPUTS = [(target, path) for target in TARGETS for path in sorted((KEPT / target).iterdir())]


@pytest.mark.parametrize(
    ("target", "path"), KEPT_INPUTS, ids=[f"{target}-{path.name}" for target, path in KEPT_INPUTS]
)
def test_what_was_kept_holds_and_so_do_changes_to_it(target, path):
    data = path.read_bytes()
    TARGETS[target](data)
    for seed in range(CHANGES):
        TARGETS[target](trees.changed(data, seed))


def test_what_is_run_in_python_are_the_targets_there_are():
    assert list(TARGETS) == list(PYTHON)


def test_a_change_gives_another_document_and_the_same_for_the_same_seed():
    data = (KEPT / "documents" / "all-kinds.yaml").read_bytes()
    made = {trees.changed(data, seed) for seed in range(20)}
    assert len(made - {data}) >= 15
    assert trees.changed(data, 3) == trees.changed(data, 3)


def test_what_is_no_yaml_is_not_changed():
    assert trees.changed(b"{a: [", 1) == b"{a: ["


def test_names_of_fields_are_those_of_documents():
    assert {"trafficPolicy", "http", "rules", "split"} <= set(trees.field_names())
