import pytest

from meshcore.config.addresses import full_name, is_cidr, is_host, is_ip


@pytest.mark.parametrize(
    ("host", "full"),
    [
        ("reviews", "reviews.ns.svc.cluster.local"),
        ("Reviews", "reviews.ns.svc.cluster.local"),
        ("reviews.other", "reviews.other"),
        ("reviews.other.svc", "reviews.other.svc"),
        ("API.Example.com", "api.example.com"),
        ("*.example.com", "*.example.com"),
        ("*", "*"),
        ("10.0.0.1", "10.0.0.1"),
        ("::1", "::1"),
        ("", ""),
    ],
)
def test_only_names_without_a_dot_are_of_the_namespace(host, full):
    assert full_name(host, "ns", "cluster.local") == full


def test_hosts():
    assert is_host("a-b.c_d.example.com.")
    assert is_host("*.example.com", wildcard=True)
    for bad in ("", ".", "a..b", "-a", "a-", "a b", "*.a", "a/b", "a:80", "a\n", "é", "a" * 64):
        assert not is_host(bad), bad
    assert not is_host("*", wildcard=True)
    assert not is_host("*a.b", wildcard=True)


def test_blocks():
    assert is_cidr("10.0.0.1")
    assert is_cidr("10.0.0.1/8")
    assert is_cidr("2001:db8::/32")
    for bad in ("", "10.0.0", "10.0.0.1/33", "x", "010.0.0.1", "1.2.3.4/99", "10.0.0.1/"):
        assert not is_cidr(bad), bad


def test_blocks_that_the_data_plane_does_not_know():
    for bad in ("10.0.0.0/255.0.0.0", "10.0.0.0/0.255.255.255", "fe80::1%eth0", "fe80::%1/64"):
        assert not is_cidr(bad), bad
    assert is_ip("fe80::1")
    assert not is_ip("fe80::1%eth0")
