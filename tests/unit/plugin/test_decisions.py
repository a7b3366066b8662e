import pytest

from meshcore.errors import PluginError
from meshcore.plugin import Modify, RouteTo, abstain, allow, deny
from meshcore.plugin.decisions import ABSTAIN, ALLOW, DENY


def test_usual_decisions_are_always_the_same_object():
    assert allow() is allow(set_headers={}) is ALLOW
    assert abstain() is ABSTAIN
    assert deny() is deny(403) is DENY
    assert deny(reason="x") is not DENY


def test_names_of_headers_are_in_lower_case():
    decision = allow(set_headers={"X-Plan": " premium "}, remove_headers=["X-Tenant"])
    assert decision == allow(set_headers={"x-plan": "premium"}, remove_headers=["x-tenant"])
    assert repr(decision) == (
        "allow(remove_headers=('x-tenant',), set_headers=(('x-plan', 'premium'),))"
    )


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: allow(set_headers={"x y": "1"}), "'x y' cannot be the name"),
        (lambda: allow(set_headers={"": "1"}), "cannot be the name"),
        (lambda: allow(set_headers={"x": "a\r\nb: c"}), "cannot be sent"),
        (lambda: allow(set_headers={"x": "\0"}), "cannot be sent"),
        (lambda: allow(set_headers={"x": 1}), "give plain text"),
        (lambda: allow(set_headers={"Content-Length": "1"}), "written by the proxy"),
        (lambda: allow(remove_headers=["transfer-encoding"]), "written by the proxy"),
        (lambda: allow(set_headers={"host": "a"}), "written by the proxy"),
        (lambda: allow(remove_headers="x-tenant"), "give a list of names"),
        (lambda: deny(200), "from 400 to 599"),
        (lambda: deny("403"), "from 400 to 599"),
        (lambda: deny(reason="a\nb"), "control characters"),
        (lambda: deny(grpc_status=0), "from 1 to 16"),
        (lambda: RouteTo(reason="x"), "goes nowhere"),
        (lambda: RouteTo(host="a\nb"), "control characters"),
        (lambda: Modify(path="a"), "begin with '/'"),
        (lambda: Modify(path="/a b"), "escape the rest"),
        (lambda: Modify(status=101), "from 200 to 599"),
        (lambda: Modify(body="text"), "give bytes"),
    ],
)
def test_what_cannot_be_sent_cannot_be_decided(make, says):
    with pytest.raises(PluginError, match=says):
        make()


def test_decisions_cannot_be_told_apart_by_identity_alone():
    assert deny(404, "a", "b") == deny(404, "a", "b") != deny(404, "a", "c")
    assert len({RouteTo(host="a"), RouteTo(host="a"), RouteTo(host="b")}) == 2
    assert Modify(body=b"x") == Modify(body=b"x") != Modify(body=b"y")
