import pytest

from meshcore.control.settings import Wanted
from meshcore.control.workload import NotFound, find

MESH = """
services:
  reviews:
    port: 9080
    versions: {v1: ["127.0.0.11:9080"], v2: ["127.0.0.12:8080", "127.0.0.13:8080"]}
  web: {port: 80, endpoints: ["127.0.0.1:8080"]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: listed, namespace: other}
spec:
  hosts: [listed.other.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, targetPort: 8000, name: http, protocol: HTTP}]
  endpoints: [{address: 10.0.0.9, serviceAccount: robot, ports: {http: 8001}}]
"""


def wanted(service, namespace="default", **more):
    return Wanted(service, namespace, **more)


def test_a_version_or_an_address_chooses(compiled):
    mesh = compiled(MESH)
    one = find(mesh, wanted("reviews", version="v1"))
    assert (one["address"], one["service_account"]) == ("127.0.0.11", "reviews")
    assert one["hosts"] == ["reviews.default.svc.cluster.local"]
    assert one["ports"] == [9080]
    assert (one["inbound_port"], one["hbone_port"]) == (15006, 15008)
    other = find(mesh, wanted("reviews", address="127.0.0.13"))
    assert other["labels"]["version"] == "v2"
    assert other["ports"] == [8080]


def test_a_listed_endpoint_is_a_workload(compiled):
    one = find(compiled(MESH), wanted("listed", "other"))
    assert (one["address"], one["service_account"], one["ports"]) == ("10.0.0.9", "robot", [8001])


@pytest.mark.parametrize(
    ("who", "text", "is_ambiguous"),
    [
        (wanted("reviews"),
         "reviews has v1 at 127.0.0.11, v2 at 127.0.0.12 and v2 at 127.0.0.13: say --address",
         True),
        (wanted("reviews", version="v2"),
         "reviews has v2 at 127.0.0.12 and v2 at 127.0.0.13: say --address", True),
        (wanted("reviews", version="v3"), "none fits --version v3", False),
        (wanted("web", address="127.0.0.2"), "web has 127.0.0.1: none fits --address", False),
        (wanted("wep", ports=(80,)), 'did you mean "web"?', False),
        (wanted("listed", ports=(80,)), "no service listed in namespace default", False),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_explained(compiled, who, text, is_ambiguous):
    with pytest.raises(NotFound) as caught:
        find(compiled(MESH), who)
    assert text in caught.value.why
    assert caught.value.is_ambiguous is is_ambiguous


def test_two_versions_are_told_apart_by_either(compiled):
    mesh = compiled('services: {a: {port: 1, versions: {v1: ["127.0.0.1"], v2: ["127.0.0.2"]}}}')
    with pytest.raises(NotFound) as caught:
        find(mesh, wanted("a"))
    assert caught.value.why == (
        "a has v1 at 127.0.0.1 and v2 at 127.0.0.2: say --version or --address"
    )


def test_a_client_need_not_be_in_the_mesh(compiled):
    one = find(compiled(MESH), wanted("job", has_inbound=False, ports=(80,), version="v9"))
    assert one["address"] == "127.0.0.1"
    assert one["service_account"] == "job"
    assert one["labels"] == {"app": "job", "version": "v9"}
    assert one["ports"] == one["hosts"] == []


def test_a_gateway_that_the_mesh_does_not_mention_has_the_labels_of_istios_chart(compiled):
    one = find(compiled(MESH), wanted("istio-ingressgateway", is_gateway=True))
    assert one["labels"] == {"app": "istio-ingressgateway", "istio": "ingressgateway"}
    assert (one["service_account"], one["ports"]) == ("istio-ingressgateway", [])
