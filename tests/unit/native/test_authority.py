import json

import pytest
from tests.unit.native.conftest import mesh, native, node

from meshcore.errors import CertificateError

WEB = "spiffe://cluster.local/ns/default/sa/web"


@pytest.fixture(scope="module")
def authority():
    return native.Authority.create("cluster.local", 3600)


def materials(authority, identity=WEB):
    issued = authority.issue(identity, 600)
    roots = [("cluster.local", authority.root.encode())]
    return native.Materials(issued.chain.encode(), issued.key.encode(), roots)


def test_an_authority_is_kept_as_text_and_read_again(authority):
    again = native.Authority.load(authority.certificate, authority.key)
    assert again.root == authority.root
    assert again.not_after == authority.not_after


def test_what_it_issues_are_materials(authority):
    found = materials(authority)
    assert found.identity == WEB
    assert found.not_before < found.not_after
    assert int(found.serial, 16) > 0


def test_a_request_is_signed_for_whom_the_caller_authenticated(authority):
    csr, key = native.new_csr("spiffe://cluster.local/ns/other/sa/other")
    issued = authority.sign_csr(csr, WEB, 600)
    assert issued.key is None
    roots = [("cluster.local", authority.root.encode())]
    assert native.Materials(issued.chain.encode(), key.encode(), roots).identity == WEB


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda a: a.issue("web", 600), "is not spiffe://"),
        (lambda a: a.issue(WEB, 0), "validity of the certificate is zero"),
        (lambda a: a.sign_csr("no", WEB, 600), "certificate request cannot be read"),
        (lambda _: native.Authority.load("no", "no"), "authority cannot be used"),
        (lambda _: native.new_csr(""), "is not spiffe://"),
        (lambda _: native.Materials(b"", b"", [("a", b"")]), "no root certificate for a"),
        (lambda _: native.Materials(b"", b"", []), "no root certificate for any"),
    ],
)
def test_what_cannot_be_signed_or_used_says_why(authority, make, says):
    with pytest.raises(CertificateError, match=says):
        make(authority)


def test_a_data_plane_takes_another_certificate_while_it_runs(authority, application):
    first, second = materials(authority), materials(authority)
    proxy = native.Proxy(mesh(), node(application), native.Options(), (), first)
    try:
        assert first.serial in json.dumps(proxy.status())
        proxy.rotate(second)
        assert second.serial in json.dumps(proxy.status())
    finally:
        proxy.stop()
