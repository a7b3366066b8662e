"""TLS as scanners see it."""

import pytest
from tests.reliability import tls_scan

pytestmark = pytest.mark.needs("nginx", "openssl", "sslscan")


def test_scanners_find_nothing_on_any_listener():
    outcomes = tls_scan.short()
    assert [o.listener for o in outcomes] == ["inbound, STRICT", "HBONE", "inbound, PERMISSIVE"]
    assert [f"{o.listener}: {found}" for o in outcomes for found in o.findings] == []
    assert min(o.checks for o in outcomes) >= len(tls_scan.SUITES)
