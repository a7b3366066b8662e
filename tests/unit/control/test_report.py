import pytest

from meshcore.control.compiler import Prepared
from meshcore.control.last_good import LastGood

report = pytest.importorskip("meshcore.control.report")


def prepared(domain="cluster.local", *aliases):
    head = {
        "revision": 1, "changes": [], "diagnostics": [], "own": None, "own_missing": "nobody",
        "trust_domain": domain, "trust_domain_aliases": list(aliases),
    }  # fmt: skip
    return Prepared(b"", head, b"{}")


@pytest.mark.parametrize("other", [("other",), ("cluster.local", "old"), ("other", "old")])
def test_another_trust_domain_is_said_once(tmp_path, caplog, other):
    one = report.Report(None, LastGood(str(tmp_path / "last.json")))
    one.started(prepared(), None)
    for after in (prepared(), prepared(*other), prepared(*other), prepared()):
        one.applied(after)
    assert caplog.text.count("another trustDomain or trustDomainAliases: restart") == 1
