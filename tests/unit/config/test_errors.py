from meshcore.errors import ConfigError, Diagnostic, Severity, StaleRevision

GOLDEN = """\
mesh.yaml:3:5: error[IST0106]: services.reviews.prot: unknown field (service reviews)
    3 |     prot: 9080
      |     ^
      = help: did you mean "port"? allowed: allow, endpoints, namespace, port, protocol, retries, \
split, timeout, versions"""


def test_a_finding_shows_its_line_a_caret_and_what_to_do(errors):
    text = "services:\n  reviews:\n    prot: 9080\n    port: 1\n"
    assert [d.render() for d in errors(text)] == [GOLDEN]


DUPLICATE = """\
mesh.yaml:2:14: error[MC0001]: the key 'port' is given twice
    2 |   a: {port: 1, port: 2}
      |                ^
      = help: remove one; the first is in line 2"""


def test_a_duplicate_key_points_at_the_second(errors):
    text = "services:\n  a: {port: 1, port: 2}\n"
    assert errors(text)[0].render() == DUPLICATE.replace(":14:", ":16:")


DURATION = """\
mesh.yaml:1:34: error[IST0106]: services.a.timeout: 5 has no unit, write 5s or 5ms (service a)
    1 | services: {a: {port: 1, timeout: 5}}
      |                                  ^"""


def test_a_bare_number_is_refused_as_a_duration(errors):
    assert errors("services: {a: {port: 1, timeout: 5}}\n")[0].render() == DURATION


def test_a_finding_is_plain_data():
    finding = Diagnostic(Severity.WARNING, "MC0001", "m", file="f", line=1, column=2)
    assert finding.to_json() == {
        "severity": "warning",
        "code": "MC0001",
        "message": "m",
        "origin": "",
        "file": "f",
        "line": 1,
        "column": 2,
        "source_line": "",
        "hint": "",
        "blocks": False,
    }


def test_a_long_line_is_cut_around_the_caret():
    line = "x" * 5000 + "HERE" + "y" * 5000
    shown = Diagnostic(
        Severity.ERROR, "C", "m", file="f", line=1, column=5001, source_line=line
    ).render()
    _, text, caret = shown.split("\n")
    assert text[caret.index("^") :].startswith("HERE")
    assert len(text) < 130


def test_control_characters_do_not_reach_the_terminal():
    line = "a: \x1b[31mred\ttab\x07"
    shown = Diagnostic(Severity.ERROR, "C", "m", file="f", line=1, column=1, source_line=line)
    assert not any(c in shown.render() for c in "\x1b\x07\t")


def test_what_a_finding_quotes_does_not_reach_the_terminal(errors):
    text = 'services: {a: {port: "\\e[2J\\L"}}\n"\\x1b": 1\n'
    found = [d.render() for d in errors(text)]
    assert len(found) == 2
    assert all(c.isprintable() or c == "\n" for d in found for c in d)
    assert r"\x1b[2J\u2028" in found[0]


def test_a_finding_without_a_place_names_its_file():
    assert str(Diagnostic(Severity.ERROR, "C", "m", file="f")) == "f: error[C]: m"
    assert str(Diagnostic(Severity.ERROR, "C", "m")) == "error[C]: m"


def test_an_error_that_does_not_block_refuses_nothing():
    assert Diagnostic(Severity.ERROR, "C", "m").is_refusal
    assert not Diagnostic(Severity.ERROR, "C", "m", blocks=False).is_refusal
    assert not Diagnostic(Severity.WARNING, "C", "m").is_refusal


def test_exceptions_carry_what_they_say():
    finding = Diagnostic(Severity.ERROR, "C", "m")
    assert ConfigError([finding]).diagnostics == (finding,)
    assert (StaleRevision(1, 2).offered, StaleRevision(1, 2).in_force) == (1, 2)
