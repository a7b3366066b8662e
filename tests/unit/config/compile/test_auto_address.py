from ipaddress import ip_address, ip_network

import pytest

from meshcore.config.compile import auto_address


@pytest.fixture
def entry(read, document):
    def _entry(spec, **named):
        mesh = read(document("ServiceEntry", spec, **named)).required()
        return {service["host"]: service["auto_addresses"] for service in mesh["services"]}

    return _entry


def test_a_host_without_an_address_gets_one_of_each_family(entry):
    [(four, six)] = entry("{hosts: [db.example], resolution: DNS}").values()
    assert ip_address(four) in ip_network("240.240.0.0/16")
    assert ip_address(six) in ip_network("2001:2::/48")


def test_it_is_the_same_whatever_else_there_is(entry):
    alone = entry("{hosts: [db.example], resolution: DNS}")
    among = entry("{hosts: [a.example, db.example, z.example], resolution: DNS}")
    assert among["db.example"] == alone["db.example"]
    assert len({four for four, _ in among.values()}) == 3


@pytest.mark.parametrize(
    "spec",
    [
        "{hosts: [db.example], addresses: [10.0.0.1], resolution: DNS}",
        "{hosts: [db.example], resolution: NONE}",
        '{hosts: ["*.db.example"], resolution: DYNAMIC_DNS}',
    ],
)
def test_some_have_no_use_for_one(entry, spec):
    assert list(entry(spec).values()) == [[]]


def test_a_label_refuses_it(read):
    text = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: db, labels: {networking.istio.io/enable-autoallocate-ip: "false"}}
spec: {hosts: [db.example], resolution: DNS}
"""
    assert read(text).required()["services"][0]["auto_addresses"] == []


@pytest.mark.parametrize(("cluster_ip", "count"), [("", 2), ("None", 0), ("10.0.0.1", 0)])
def test_a_kubernetes_service_gets_one_unless_it_is_headless(read, document, cluster_ip, count):
    spec = f'{{clusterIP: "{cluster_ip}", selector: {{a: b}}, ports: [{{port: 80}}]}}'
    [made] = read(document("Service", spec)).required()["services"]
    assert len(made["auto_addresses"]) == count


def service(host, addresses=(), namespace="default"):
    auto = [] if addresses else ["wanted"]
    return {
        "namespace": namespace, "host": host, "addresses": list(addresses), "auto_addresses": auto,
    }  # fmt: skip


def settled(services):
    auto_address.settle(services)
    return {(s["namespace"], s["host"]): tuple(s["auto_addresses"]) for s in services}


def test_hosts_that_want_the_same_get_others_whatever_the_order(monkeypatch):
    monkeypatch.setattr(auto_address, "_COUNT", 7)
    hosts = [service(f"{letter}.example") for letter in "abcdefg"]
    forward = settled(hosts)
    assert len(set(forward.values())) == 7
    assert settled(list(reversed(hosts))) == forward


def test_when_all_are_gone_the_rest_has_none(monkeypatch):
    monkeypatch.setattr(auto_address, "_COUNT", 3)
    found = settled([service(f"{letter}.example") for letter in "abcd"])
    assert sorted(map(len, found.values())) == [0, 2, 2, 2]


def test_an_address_that_somebody_was_given_is_not_free():
    [before] = settled([service("a.example")]).values()
    after = settled([service("a.example"), service("b.example", before)])
    assert after["default", "a.example"] != before


def test_one_name_has_one_address():
    twice = [service("a.example"), service("a.example")]
    assert len(settled(twice)) == 1
    assert twice[0]["auto_addresses"] == twice[1]["auto_addresses"]
