import time

import pytest

from meshcore.config import Source, compile_mesh
from meshcore.config.findings import MAX_FINDINGS, Findings
from meshcore.errors import Diagnostic, Severity


def finding(severity):
    return Diagnostic(severity, "C", "m")


def test_each_sort_has_its_own_room():
    found = Findings()
    found += [finding(Severity.INFO)] * (MAX_FINDINGS + 5)
    assert not found.is_refused
    found += [finding(Severity.ERROR)] * (MAX_FINDINGS - 1)
    assert found.is_refused
    assert not found.is_full
    found.append(finding(Severity.ERROR))
    assert found.is_full
    assert (len(found), found.left_out) == (2 * MAX_FINDINGS, 5)


def test_what_is_left_out_is_said():
    found = Findings()
    assert found.summary() == []
    found += [finding(Severity.INFO)] * (MAX_FINDINGS + 5)
    assert "at least 5 more" in found.summary()[0].message


def test_an_error_that_does_not_block_takes_no_room_of_refusals():
    found = Findings()
    found += [Diagnostic(Severity.ERROR, "C", "m", blocks=False)] * (MAX_FINDINGS * 2)
    assert not found.is_refused
    found.append(finding(Severity.ERROR))
    assert found[-1].is_refusal


HEAD = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: x}\nspec: "
FLOODS = {
    "numbers for hosts": HEAD + "{rules: [{from: [" + "1," * 150_000 + "]}]}",
    "nulls for sources": HEAD + "{rules: [{from: [" + "~," * 150_000 + "]}]}",
    "unknown fields": HEAD + "{" + ",".join(f"k{n}: 1" for n in range(90_000)) + "}",
    "too many values": HEAD + "{rules: [" + "1," * 250_000 + "]}",
    "wrong services": "services: {" + ",".join(f"k{n}: 1" for n in range(200_000)) + "}",
    "documents of no kind": "a: 1\n---\n" * 100_000,
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_of_mistakes_is_refused_briefly(name):
    began = time.monotonic()
    result = compile_mesh([Source("m", FLOODS[name])], 1)
    assert time.monotonic() - began < 20
    assert result.mesh is None
    assert 1 <= len(result.diagnostics) <= MAX_FINDINGS + 1


def test_a_refusal_after_a_flood_of_remarks_still_refuses():
    text = "kind: X\n---\n" * (MAX_FINDINGS * 2) + "services: {a: {}}\n"
    result = compile_mesh([Source("m", text)], 1)
    assert result.mesh is None
    assert [d.is_refusal for d in result.diagnostics].count(True) == 1
    assert result.diagnostics[-1].code == "MC0004"
