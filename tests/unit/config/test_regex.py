import time

import pytest

from meshcore.config.regex import why_refused


@pytest.mark.parametrize(
    "expression",
    [
        "", "/api/v[0-9]+/.*", "(?i)abc", "a(?i)b", "(?i:a)b", "(?P<name>x)", "(?<name>x)", r"\pL+",
        r"\p{Greek}", r"\P{^Lu}", "[[:alpha:]]+", r"\x{10FFFF}", r"^a\z", r"\d\w\s\b", "(?s-m:a.b)",
        "[(?=]", "[(]", r"[\]]", "[^]a]", "a{2,3}?", "(a|b)*?c", r"\\1", "(?:x)", "[a-c&&b]", "()",
    ],
)  # fmt: skip
def test_what_both_engines_know_is_taken(expression):
    assert why_refused(expression) is None


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        (r"(a)\1", "reference to a group"),
        (r"(?P<x>a)(?P=x)", "reference to a group"),
        (r"(?P<x>a)\k<x>", "reference to a group"),
        ("(?=a)", "looking ahead or behind"),
        ("(?!a)", "looking ahead or behind"),
        ("(?<=a)b", "looking ahead or behind"),
        ("(?<!a)b", "looking ahead or behind"),
        ("(?>a)", "atomic"),
        ("(a)(?(1)b|c)", "conditional"),
        ("a(?#note)", "comments"),
        ("a++", "possessive"),
        ("(a", "unterminated"),
        ("a)", "unbalanced"),
        ("[a", "unterminated"),
        ("*a", "nothing to repeat"),
        ("a**", "multiple repeat"),
        ("[b-a]", "bad character range"),
        ("a\\", "bad escape"),
        ("x" * 5000, "longer than 4096"),
        ("(" * 200 + ")" * 200, "nested deeper than 100"),
    ],
)
def test_what_has_no_linear_form_or_no_meaning_is_refused(expression, why):
    assert why in (why_refused(expression) or "")


@pytest.mark.parametrize(
    "expression",
    ["(a+)+$", "(a|a)*$", "((a{1000}){1000}){1000}", "(?:" * 90 + ")*" * 90, "[" * 4096],
)
def test_hostile_expressions_are_looked_at_quickly(expression):
    began = time.monotonic()
    why_refused(expression)
    assert time.monotonic() - began < 1
