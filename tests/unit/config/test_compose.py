import time
import tracemalloc

import pytest

from meshcore.config.compose import MAX_NODES, Budget, compose
from meshcore.config.nodes import find
from meshcore.config.source import MAX_SOURCE_BYTES, Source


def composed(text, nodes=MAX_NODES):
    problems = []
    documents = compose(Source("a.yaml", text), Budget(nodes), problems)
    return [node.plain() for node in documents], problems


def test_documents_are_plain_data_and_empty_ones_are_left_out():
    documents, problems = composed("a: 1\n---\n---\n# nothing\n---\n[x, {y: null, z: no}]\n")
    assert documents == [{"a": 1}, ["x", {"z": False}]]
    assert not problems


def test_keys_are_text_as_in_json():
    documents, _ = composed('on: 1\n80: 2\n~: 3\n"": 4\n')
    assert documents == [{"on": 1, "80": 2, "~": 3, "": 4}]


def test_values_know_their_place():
    problems = []
    [node] = compose(Source("a", "a:\n  - b: [x,\n      y]\n"), Budget(), problems)
    assert find(node, ("a", 0, "b", 1)) == (3, 7)
    assert find(node, ("a", 0, "b")) == (2, 5)
    assert find(node, ("a", 0, "nothing")) == (2, 5)
    assert find(node, ("not", "there")) == (1, 1)


def test_addresses_may_end_in_colons_before_a_bracket():
    [document], problems = composed("a: [fd00::, 1]\nb: {c: 1::}\nd: x::]\n")
    assert document == {"a": ["fd00::", 1], "b": {"c": "1::"}, "d": "x::]"}
    assert not problems
    [document], _ = composed("a: '\ue03a'\n")
    assert document == {"a": "\ue03a"}


def test_merge_keys_give_what_is_not_given_before_or_after():
    text = """
base: &base {a: 1, b: 2}
more: &more {b: 3, c: 4}
one: {<<: *base, b: 9}
two: {b: 9, <<: [*base, *more]}
"""
    [document], problems = composed(text)
    assert not problems
    assert document["one"] == {"a": 1, "b": 9}
    assert document["two"] == {"a": 1, "b": 9, "c": 4}


def test_aliases_stand_for_values_and_keys():
    [document], problems = composed("a: &x [1]\nb: *x\nc: &k key\nd: {*k : 1}\n")
    assert document == {"a": [1], "b": [1], "c": "key", "d": {"key": 1}}
    assert not problems


def test_anchors_do_not_reach_into_the_next_document():
    _, [problem] = composed("a: &x 1\n---\nb: *x\n")
    assert "*x has no anchor" in problem.message
    assert (problem.line, problem.column) == (3, 4)


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("a: 1\nb: 2\na: 3\n", "'a' is given twice", (3, 1)),
        ("a: {x: 1, x: 1}\n", "'x' is given twice", (1, 11)),
        ("a: [1\nb: 2\n", "not YAML: ", (2, 2)),
        ("a: 1\n\tb: 2\n", "not YAML: ", (2, 1)),
        ("a: &x {b: *x}\n", "contains itself", (1, 11)),
        ("a: *nobody\n", "has no anchor", (1, 4)),
        ("{a: {[b]: 1}}\n", "a key must be text", (1, 6)),
        ("a: &m [1]\nb: {*m : 1}\n", "a key must be text", (2, 5)),
        ("a: {<<: 5}\n", "<< needs a mapping", (1, 9)),
        ("a: !!python/object/apply:os.system [ls]\n", "is not allowed here", (1, 4)),
        ("a: !secret x\n", "is not allowed", (1, 4)),
        ("a: \x00\n", "not YAML: ", (1, 1)),
        (b"ok: 1\nb: \xff\n", "not UTF-8: byte 0xff", (2, 1)),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(text, message, place):
    _, problems = composed(text)
    assert message in problems[0].message
    assert (problems[0].line, problems[0].column) == place


def test_every_duplicate_is_reported_and_the_first_value_stays():
    [document], problems = composed("a: 1\na: 2\nb: 1\nb: 2\n")
    assert document == {"a": 1, "b": 1}
    assert [p.line for p in problems] == [2, 4]


def test_documents_before_a_syntax_error_are_kept():
    documents, problems = composed("a: 1\n---\nb: [\n")
    assert documents == [{"a": 1}]
    assert len(problems) == 1


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30)
)
MERGES = "a0: &a0 {k0: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}], k{n}: 1}}\n" for n in range(1, 30)
)
BOMBS = {
    "billion laughs": (LAUGHS, "values, aliases counted"),
    "merged laughs": (MERGES, "values, aliases counted"),
    "deep flow": ("[" * 1_000_000, "nested deeper than 64"),
    "deep mapping": ("{a: " * 1_000_000, "nested deeper than 64"),
    "deep blocks": ("\n".join(" " * n + "a:" for n in range(1000)), "nested deeper than 64"),
    "deep by alias": (
        "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 100)),
        "nested deeper than 64",
    ),
    "many values": ("[" + "a," * 3_000_000 + "]", "more than 2,000,000 values"),
    "too large": ("a: " + "x" * MAX_SOURCE_BYTES, "over the limit of 16 MiB"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_end_in_bounded_time_and_memory(name):
    text, message = BOMBS[name]
    tracemalloc.start() if name != "many values" else None
    began = time.monotonic()
    _, problems = composed(text)
    took = time.monotonic() - began
    peak = tracemalloc.get_traced_memory()[1] if tracemalloc.is_tracing() else 0
    tracemalloc.stop()
    assert message in problems[-1].message
    assert took < 20
    assert peak < 200 * 1024 * 1024


def test_many_duplicates_are_reported_a_hundred_times():
    _, problems = composed("a: 1\n" * 10_000)
    assert len(problems) == 100


def test_the_budget_is_shared_by_all_sources():
    budget, problems = Budget(5), []
    compose(Source("a", "[1, 2]"), budget, problems)
    assert not problems
    compose(Source("b", "[1, 2]"), budget, problems)
    assert problems[0].file == "b"
