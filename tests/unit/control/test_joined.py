"""Who a sidecar with a control plane is."""

import base64
import json

import pytest

from meshcore.control import joined
from meshcore.control.settings import Joining, Ports, Settings, Wanted
from meshcore.errors import StartFailed


def token(subject: str) -> str:
    payload = base64.urlsafe_b64encode(json.dumps({"sub": subject}).encode()).decode().rstrip("=")
    return f"head.{payload}.signature"


def settings(**wanted) -> Settings:
    words = {"service": "web", "namespace": "shop", "address": "127.0.0.9", **wanted}
    return Settings(Wanted(**words), "127.0.0.1:15012", "1", "/state", Ports(),
                    joining=Joining("127.0.0.1:15012"))  # fmt: skip


SUBJECT = "system:serviceaccount:shop:web"


def test_the_token_says_who_it_is():
    who = joined.claim(settings(version="v2", ports=(80,)), token(SUBJECT))
    assert (who.name, who.namespace, who.service_account) == ("web-v2", "shop", "web")
    assert who.id == "sidecar~127.0.0.9~web-v2.shop~shop.svc.cluster.local"
    assert who.serves


@pytest.mark.parametrize(
    ("wanted", "text", "said"),
    [
        ({"namespace": "other"}, token(SUBJECT), "--namespace shop"),
        ({"service_account": "other"}, token(SUBJECT), "--service-account says other"),
        ({}, "junk", "token create"),
        ({}, "a.b.c", "token create"),
        ({}, token("somebody"), "token create"),
        ({}, token("system:serviceaccount:shop:"), "token create"),
    ],
)
def test_what_does_not_go_together_is_refused(wanted, text, said):
    with pytest.raises(StartFailed, match=said):
        joined.claim(settings(**wanted), text)


def test_who_only_calls_registers_nothing():
    for wanted in ({"has_inbound": False}, {"ports": (80,), "has_inbound": False}):
        asked = settings(**wanted)
        who = joined.claim(asked, None)
        node = joined.described(asked, who, is_ready=False)
        assert "MESHCORE_SERVICE" not in node["metadata"]
    asked = settings(ports=(80,))
    metadata = joined.described(asked, joined.claim(asked, None), is_ready=False)["metadata"]
    assert (metadata["MESHCORE_SERVICE"], metadata["MESHCORE_HEALTHY"]) == ("web", "false")


def workload(name: str, kind: str, **more) -> dict:
    return {
        "name": name, "namespace": "shop", "address": "127.0.0.9", "origin": {"kind": kind},
        "labels": {"from": kind}, "ports": {}, "inbound_port": None, "hbone_port": None, **more,
    }  # fmt: skip


def about(*workloads: dict) -> dict:
    ports = [{"number": 80, "name": "http", "target_port": 8080, "target_port_name": None}]
    mesh = {"trust_domain": "cluster.local", "trust_domain_aliases": []}
    return {
        "revision": 7, "settings": mesh, "workloads": list(workloads), "groups": [],
        "services": [{"host": "web.shop.svc.cluster.local", "ports": ports}],
    }  # fmt: skip


def test_what_registered_is_the_own_workload():
    asked = settings(ports=(8080,))
    who = joined.claim(asked, None)
    all_of_it = about(
        workload("web", "WorkloadEntry"), workload("web", "Registration"),
        workload("far", "Registration", address="127.0.0.8"),
    )  # fmt: skip
    own = joined.head(asked, who, all_of_it)["own"]
    assert own is not None
    assert own["labels"] == {"from": "Registration"}
    assert own["ports"] == [8080]
    assert own["hosts"] == ["web.shop.svc.cluster.local"]
    client = joined.head(asked, who, about())["own"]
    assert client is not None
    assert client["labels"] == {"app": "web"}


def test_a_token_is_read_from_its_file(tmp_path):
    path = tmp_path / "token"
    path.write_text(f" {token(SUBJECT)}\n")
    assert joined.read_token(str(path)) == token(SUBJECT)
    for text in ("", "t" * 20_000):
        path.write_text(text)
        with pytest.raises(StartFailed, match="none in it"):
            joined.read_token(str(path))
    with pytest.raises(StartFailed, match="no such file"):
        joined.read_token(str(tmp_path / "none"))
