import json
from dataclasses import replace

import pytest

from meshcore.control.node import node, who
from meshcore.control.settings import Ports, Settings, Wanted
from meshcore.errors import StartFailed

DEFAULT = Ports()


def settings(listeners=DEFAULT, application=None, **wanted):
    one = Wanted("web", "shop", **wanted)
    return Settings(one, "/m/mesh.yaml", "0", "/m/.meshcore", listeners, application)


def head(address="127.0.0.9", **more):
    own = {
        "name": "web-1", "address": address, "labels": {"app": "web"}, "service_account": "sa",
        "hosts": ["web"], "ports": [8080], "inbound_port": None, "hbone_port": None,
    }  # fmt: skip
    return {"trust_domain": "td", "own": {**own, **more}}


def made(asked, found):
    return json.loads(node(asked, found, who(asked, found)))


def test_on_a_loopback_address_everything_listens_there():
    one = made(settings(), head())
    assert one["identity"] == "spiffe://td/ns/shop/sa/sa"
    assert one["ports"] == [{"number": 8080, "application": "127.0.0.9:8080"}]
    assert one["listen"] == {
        "outbound": "127.0.0.9:15001", "inbound": "127.0.0.9:15006", "hbone": "127.0.0.9:15008",
        "admin": "127.0.0.9:15000", "health": "127.0.0.9:15021", "metrics": "127.0.0.9:15090",
    }  # fmt: skip


ALL = "0.0.0.0"  # noqa: S104 - what is tested


@pytest.mark.parametrize(
    ("address", "near", "far"),
    [("10.1.2.3", "127.0.0.1", ALL), ("fd00::1", "[::1]", "[::]")],
)
def test_elsewhere_administration_stays_on_the_machine(address, near, far):
    listen = made(settings(), head(address))["listen"]
    assert (listen["admin"], listen["outbound"]) == (f"{near}:15000", f"{near}:15001")
    assert (listen["inbound"], listen["health"]) == (f"{far}:15006", f"{far}:15021")


def test_what_is_asked_for_wins_over_the_mesh():
    one = made(
        settings(Ports(inbound=0), "127.0.0.1:9", name="n", service_account="s", ports=(1,)),
        head(inbound_port=16006, hbone_port=16008),
    )
    assert (one["name"], one["identity"]) == ("n", "spiffe://td/ns/shop/sa/s")
    assert one["ports"] == [{"number": 1, "application": "127.0.0.1:9"}]
    assert one["listen"]["inbound"] == "127.0.0.9:0"
    assert one["listen"]["hbone"] == "127.0.0.9:16008"


def test_a_client_has_no_inbound():
    one = made(settings(has_inbound=False), head())
    assert one["ports"] == []
    assert not {"inbound", "hbone"} & one["listen"].keys()


@pytest.mark.parametrize("ports", [[], [1, 2]])
def test_one_application_is_for_one_port(ports):
    with pytest.raises(StartFailed, match="say --port"):
        made(settings(application="127.0.0.1:9"), head(ports=ports))


@pytest.mark.parametrize("address", ["web.example", "unix:///x", ""])
def test_an_address_must_be_an_ip(address):
    with pytest.raises(StartFailed, match="not an IP"):
        made(settings(), head(address))


def test_settings_come_back_from_their_text():
    asked = settings(Ports(outbound=0), "127.0.0.1:9", version="v1", ports=(1, 2))
    assert Settings.from_json(asked.to_json()) == asked


def test_sidecars_that_share_a_directory_have_other_files():
    keys = [settings(version=v, address=a).key for v in (None, "v1") for a in (None, "fd00::1")]
    assert len(set(keys)) == 4
    assert not any("/" in key or ":" in key for key in keys)


def intercepted(**more):
    return replace(settings(Ports(dns=15053), **more), intercepted=True, both_families=True)


def test_what_is_redirected_is_listened_for_in_both_families():
    one = made(intercepted(), head("10.1.2.3"))
    assert one["intercepted"]
    listen = one["listen"]
    assert (listen["outbound"], listen["outbound_other"]) == ("127.0.0.1:15001", "[::1]:15001")
    assert (listen["inbound"], listen["inbound_other"]) == (f"{ALL}:15006", "[::]:15006")
    assert (listen["dns"], listen["dns_other"]) == ("127.0.0.1:15053", "[::1]:15053")
    assert "dns" not in made(settings(), head("10.1.2.3"))["listen"]


def test_calls_to_a_loopback_address_cannot_be_redirected():
    with pytest.raises(StartFailed, match=r"127\.0\.0\.9, and calls to a loopback address"):
        made(intercepted(), head())


def test_one_that_nobody_calls_needs_no_address_to_be_intercepted():
    listen = made(intercepted(has_inbound=False), head("127.0.0.9"))["listen"]
    assert (listen["outbound"], listen["outbound_other"]) == ("127.0.0.1:15001", "[::1]:15001")


def test_a_gateway_listens_where_documents_say_and_has_no_application():
    one = made(settings(is_gateway=True), head("10.1.2.3"))
    assert one["ports"] == []
    assert one["listen"] == {
        "gateway": ALL, "admin": "127.0.0.1:15000", "health": f"{ALL}:15021",
        "metrics": f"{ALL}:15090",
    }  # fmt: skip
